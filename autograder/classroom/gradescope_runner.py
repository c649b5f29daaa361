"""What ``run_autograder`` runs in Gradescope's container: grades the one submission there is and writes its results.

source/project             this code, without the instructor's
source/private             what the zip keeps secret: inputs and right answers of several seeds, and which is whose
submission                 what the student handed in
submission_metadata.json   who that is, written by Gradescope with text that students chose
results/results.json
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder import editions
from autograder.classroom import inputs, isolation
from autograder.classroom.gradebook import Conditions
from autograder.classroom.marking import Engine, opened
from autograder.classroom.records import Record
from autograder.classroom.reports import gradescope_results
from autograder.editions import Edition
from autograder.engine import graders, marks
from autograder.engine.claims import Answer, Fault, Limits
from autograder.engine.session import Session
from autograder.intake.opening import Found
from autograder.intake.submission import Submission
from llamalab import text
from llamalab.errors import UserError
from llamalab.files import write_text

KINDS = ("bubblewrap", "user")  # of isolation, the safest first
LIMITS = Limits(seconds=20.0, memory=256 << 20, timeouts=2)  # half a processor and 768 MB for everything
ANSWERED = ("todo", "error", "import_error", "bad_answer")  # kinds of faults after which a worker is known to work
LARGEST_METADATA = 4 << 20  # bytes; as objects they take twenty times as much
RESERVE = 2 << 20  # bytes of disk, kept until the results are written: a submission may fill the rest

SETTINGS, REFERENCES = "settings.json", "references"
NOT_GRADED, REASON = "not_graded.json", "@REASON@"


@dataclass(frozen=True)
class ZipSettings:
    """What the zip's builder decided.

    Args:
        edition: its name.
        grader: hash of all that decides marks, oracles included.
        salt: makes it impossible to foresee which inputs a submission gets.
        seeds: of the sets of inputs, in order.
    """

    edition: str
    grader: str
    salt: str
    seeds: tuple[int, ...]

    def chosen(self, submission: str) -> int:
        """Which set of inputs a submission gets, by its hash: the same one whenever it is graded."""
        digest = hashlib.sha256(f"{self.salt}\0{submission}".encode()).digest()
        return int.from_bytes(digest, "big") % len(self.seeds)

    @classmethod
    def read(cls, private: Path) -> ZipSettings:
        fields = json.loads((private / SETTINGS).read_text("utf-8"))
        return cls(**{**fields, "seeds": tuple(fields["seeds"])})


class Budgeted:
    """A session with an end: what is called after so many seconds, or runs then, is not run.

    Closing it closes the session.
    """

    def __init__(self, session: Session, seconds: float, says: str) -> None:
        self._session = session
        self._fault = Fault("not_run", f"not run: {says}")
        self._over = threading.Event()
        self._timer = threading.Timer(max(0.0, seconds), self._end)

    def __enter__(self) -> Budgeted:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        self._session.close()

    def calls(
        self, submission: Submission, component: str, cases: Sequence[Mapping[str, Any]], *more: Any
    ) -> list[Answer | Fault]:
        if not self._over.is_set():
            try:
                results = self._session.calls(submission, component, cases, *more)
            except Exception:  # of a session that was closed meanwhile
                if not self._over.is_set():
                    raise
        return [self._fault] * len(cases) if self._over.is_set() else results

    def _end(self) -> None:
        self._over.set()
        with contextlib.suppress(Exception):  # the call that this ends may be tidying up as well
            self._session.close()


def main(root: Path, seconds: float) -> int:
    """Grade the submission in a folder laid out like Gradescope's, in so many seconds; the exit status is 0."""
    end = time.monotonic() + seconds
    results = root / "results" / "results.json"
    reserve = results.with_name(".reserve")
    reserve.write_bytes(bytes(RESERVE))

    def write(content: str) -> None:
        reserve.unlink(missing_ok=True)
        write_text(results, content)

    record = None
    try:
        settings = ZipSettings.read(root / "source" / "private")
        kind, session = start(editions.load(settings.edition))
        says = f"grading one submission may take {seconds:g} s, which were used up"
        with Budgeted(session, end - time.monotonic(), says) as budgeted:
            record = grade(root, settings, kind, budgeted)
            write(gradescope_results.to_json(record))  # before the session is closed, which may take its time
    except Exception as error:
        print(text.plain(traceback.format_exc()))
        if record is None:
            reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            write(not_graded(root, reason))
            return 0
    earned, points = record.results.earned, record.results.points
    print(f"{record.student}: {record.status}, {marks.figure(earned)} of {marks.figure(points)}", end="")
    print(f", in {record.times['seconds']:.0f} s, isolation: {kind}")
    return 0


def start(edition: Edition) -> tuple[str, Session]:
    """The safest kind of worker that works here, and one that has proven it.

    Raises:
        UserError: none does.
    """
    problems = []
    for kind in KINDS:
        try:
            return kind, _proven(isolation.session(kind, edition, edition.components, LIMITS), edition)
        except UserError as error:
            problems.append(f"{kind}: {error}")
    raise UserError(f"student code cannot be isolated in this container ({'; '.join(problems)})")


def grade(root: Path, settings: ZipSettings, kind: str, session: Budgeted) -> Record:
    """Grade the submission with the inputs that its hash chooses."""
    edition = editions.load(settings.edition)
    found = Found(student_name(root / "submission_metadata.json"), "submission", root / "submission")
    submission = opened(found, edition)
    number = settings.chosen(submission.sha256)
    references_of = inputs.read(edition, root / "source" / "private" / REFERENCES / str(number))
    tests = graders.collect(edition)
    conditions = Conditions(settings.grader, kind, LIMITS.seconds, LIMITS.memory >> 20)
    return Engine(edition, tests, references_of, settings.seeds[number], conditions).grade(submission, session)


def student_name(metadata: Path) -> str:
    """Who handed it in, safe to show; empty where that cannot be told."""
    try:
        with open(metadata, "rb") as file:
            data = file.read(LARGEST_METADATA + 1)
        users = json.loads(data)["users"] if len(data) <= LARGEST_METADATA else []
        return ", ".join(text.line(str(user["name"])) for user in users[:4])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""


def not_graded(root: Path, reason: str) -> str:
    """Results without marks: neutral for the student, with a reason that only the staff sees."""
    template = (root / "source" / NOT_GRADED).read_text("utf-8")
    return template.replace(REASON, json.dumps(text.line(reason, 2000))[1:-1])


def _proven(session: Session, edition: Edition) -> Session:
    """A session whose worker has answered to a submission that holds an empty file; any other is closed.

    Raises:
        UserError: it cannot be used.
    """
    empty = Submission(edition, {next(iter(edition.student_files), "empty.py"): b""})
    try:
        result = session.call(empty, next(iter(edition.components)), {})
        if isinstance(result, Fault) and result.kind not in ANSWERED:
            raise UserError(f"{result.kind}, {result.message}")
    except UserError:
        session.close()
        raise
    return session


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
