"""Grades one submission: what a class, a replay and Gradescope have in common."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import stat
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from autograder import graders, references
from autograder.graders import Grader
from autograder.grading import grader_hash, intake, isolation
from autograder.grading.gradebook import Conditions
from autograder.grading.intake import Found, Intake, Refused
from autograder.grading.records import Record
from autograder.references import References
from autograder.results import ComponentResult, Results, TestResult
from autograder.session import Limits, Session
from autograder.submissions import Submission
from autograder.tracks import Track
from llamalab.errors import UserError
from llamalab.submission_files import shown_text

LARGEST_SEED = (1 << 31) - 1
RECOGNISABLE = ("fail", "error")
CALLS = 6  # a submission may take as long as so many calls that use up their time
LARGEST_HASHED = 256 << 20  # bytes of a refused file that are worth reading


@dataclass(frozen=True)
class Engine:
    """How every submission of one run is graded.

    Args:
        tests: the graders of each component, from ``graders.collect``.
        references_of: a component's inputs and expected outputs, which ``seed`` decides.
        conditions: what else decides marks; they are recorded, the session keeps them.
    """

    track: Track
    tests: Mapping[str, Sequence[Grader]]
    references_of: Callable[[str], References]
    seed: int
    conditions: Conditions

    def grade(self, found: Found, session: Session) -> Record:
        """Open a submission and run every test on it. One that cannot be opened safely is ``refused``.

        Raises:
            UserError: the worker does not start.
        """
        started, clock = _now(), time.monotonic()
        record = self._graded(found, session)
        return replace(record, times={"started": started, "seconds": round(time.monotonic() - clock, 3)})

    def failed(self, found: Found, submission: str, problem: str) -> Record:
        """The record of a submission whose grading went wrong on this side."""
        return self._record(found, "failed", submission, problem)

    def _graded(self, found: Found, session: Session) -> Record:
        try:
            opened = intake.open_submission(found.path, self.track)
        except Refused as refusal:
            return self._record(found, "refused", hash_of_refused(found.path, refusal), refusal.reason)
        with tempfile.TemporaryDirectory(prefix="llamalab-submission-") as folder:
            intake.write(opened, Path(folder))
            try:
                submission = Submission.of(self.track, Path(folder))
                submission.sources()  # from here on, what stops a class is not a submission's doing
            except UserError as error:
                problem = str(error).replace(f"{folder}{os.sep}", "")
                return self._record(found, "refused", opened.sha256, problem, opened)
            results = graders.grade(self.track, self.tests, submission, session, self.references_of)
            results = self._with_misconceptions(results, submission, session)
        return self._record(found, "graded", opened.sha256, "", opened, results)

    def _with_misconceptions(self, results: Results, submission: Submission, session: Session) -> Results:
        """Fresh inputs have no fingerprints: a mistake is recognised by what it answers to the stored ones.

        Nothing but the name of the mistake comes from that.
        """
        rows = []
        for row in results.components:
            wrong = row.state == "FAIL" and any(test.outcome in RECOGNISABLE for test in row.tests)
            if wrong and not self.references_of(row.name).fingerprints and _stored(row.name).fingerprints:
                tests, stored = self.tests[row.name], _stored(row.name)
                match = graders.recognise(row.name, tests, self.track, submission, session, stored)
                row = replace(row, match=match)
            rows.append(row)
        return replace(results, components=tuple(rows))

    def _record(
        self,
        found: Found,
        status: str,
        submission: str,
        problem: str,
        opened: Intake | None = None,
        results: Results | None = None,
    ) -> Record:
        files = opened.files if opened else {}
        return Record(
            student=found.student,
            slug=found.slug,
            track=self.track.name,
            status=status,
            source=shown_text(found.path.name),
            submission=submission,
            files={name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
            ignored=(*found.older, *(opened.ignored if opened else ())),
            grader=self.conditions.grader,
            seed=self.seed,
            isolation=self.conditions.isolation,
            results=results or not_run(self.track, self.tests),
            problem=problem,
            environment=environment(self.conditions),
            times={"started": _now(), "seconds": 0.0},
        )


_stored = functools.cache(references.load)


def not_run(track: Track, tests: Mapping[str, Sequence[Grader]]) -> Results:
    """No marks: every planned test, ``not run``."""
    rows = [
        ComponentResult(
            name,
            track.components[name].points,
            tuple(TestResult(test.name, test.question, test.weight, "not run") for test in planned),
        )
        for name, planned in tests.items()
    ]
    return Results(track.name, tuple(rows))


def conditions(track: Track, isolation: str, seconds: float, memory: int) -> Conditions:
    """What decides marks here and now, besides the submission and the inputs.

    Args:
        seconds: limit of one call.
        memory: limit of one call, in MB.
    """
    return Conditions(grader_hash.of(track), isolation, seconds, memory)


def start(track: Track, made_under: Conditions) -> Session:
    """Start a worker that keeps these conditions.

    Raises:
        UserError: this kind of isolation does not work here.
    """
    seconds = made_under.seconds
    limits = Limits(seconds=seconds, memory=made_under.memory << 20, total=CALLS * seconds)
    return isolation.session(made_under.isolation, track, track.components, limits)


def environment(made_under: Conditions) -> dict[str, str]:
    """What a record says about how it was made: limits, versions, and the kind of machine."""
    limits = {"seconds": f"{made_under.seconds:.15g}", "memory": str(made_under.memory)}
    return {**limits, **grader_hash.versions(), "system": f"{platform.system()} {platform.machine()}"}


def hash_of_refused(path: Path, refusal: Refused) -> str:
    """sha256 of a refused file's bytes; of anything else, which may be too large or too odd to read, of the reason."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST_HASHED:
                return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        pass
    return hashlib.sha256(refusal.reason.encode("utf-8", "replace")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
