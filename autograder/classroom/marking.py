"""Grades one submission: what a class, a replay and Gradescope have in common."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autograder import editions
from autograder.classroom import grader_hash, isolation
from autograder.classroom.gradebook import Conditions
from autograder.classroom.records import Record
from autograder.editions import Edition
from autograder.engine import graders, references
from autograder.engine.claims import Limits
from autograder.engine.graders import Grader
from autograder.engine.references import References
from autograder.engine.results import ComponentResult, Results, TestResult
from autograder.engine.session import Session
from autograder.intake import folders, opening
from autograder.intake.opening import Found, Refused
from autograder.intake.submission import Submission
from llamalab import text

LARGEST_SEED = (1 << 31) - 1
RECOGNISABLE = ("fail", "error")
CALLS = 6  # a submission may take as long as so many calls that use up their time
LARGEST_HASHED = 256 << 20  # bytes of a refused file that are worth reading


@dataclass(frozen=True, kw_only=True)
class Opened(Found):
    """What a student handed in, read once: what is graded is what was looked at.

    Args:
        content: the submission, or what kept it from being opened.
        sha256: of it, as its record has it.
    """

    content: Submission | Exception
    sha256: str


def opened(found: Found, edition: Edition) -> Opened:
    """Read what a student handed in. Whatever is wrong with it is kept for its grading: no submission stops a class."""
    try:
        content: Submission | Exception = opening.open_submission(found.path, edition)
        digest = content.sha256
    except Refused as refusal:
        content, digest = refusal, hash_of_refused(found.path, refusal)
    except Exception as error:
        content, digest = error, hashlib.sha256(repr(error).encode("utf-8", "replace")).hexdigest()
    return Opened(**vars(found), content=content, sha256=digest)


@dataclass(frozen=True)
class Engine:
    """How every submission of one run is graded.

    Args:
        tests: the graders of each component, from ``graders.collect``.
        references_of: a component's inputs and expected outputs, which ``seed`` decides.
        conditions: what else decides marks; they are recorded, the session keeps them.
    """

    edition: Edition
    tests: Mapping[str, Sequence[Grader]]
    references_of: Callable[[str], References]
    seed: int
    conditions: Conditions

    def grade(self, opened: Opened, session: Session) -> Record:
        """Run every test on a submission. One that could not be opened safely is ``refused``.

        Raises:
            UserError: the worker does not start.
            Exception: what else kept the submission from being opened.
        """
        started, clock = _now(), time.monotonic()
        record = self._graded(opened, session)
        return replace(record, times={"started": started, "seconds": round(time.monotonic() - clock, 3)})

    def failed(self, opened: Opened, problem: str) -> Record:
        """The record of a submission whose grading went wrong on this side."""
        return self._record(opened, "failed", problem=problem)

    def _graded(self, opened: Opened, session: Session) -> Record:
        submission = opened.content
        if isinstance(submission, Refused):
            return self._record(opened, "refused", problem=submission.reason)
        if isinstance(submission, Exception):
            raise submission
        results = graders.grade(self.edition, self.tests, submission, session, self.references_of)
        results = self._with_mistakes(results, submission, session)
        files = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(submission.files.items())}
        ignored = (*opened.older, *submission.ignored)
        return self._record(opened, "graded", files=files, ignored=ignored, results=results)

    def _with_mistakes(self, results: Results, submission: Submission, session: Session) -> Results:
        """Fresh inputs have no fingerprints: a mistake is recognised by what it answers to the stored ones.

        Nothing but the name of the mistake comes from that.
        """

        def looked_at(row: ComponentResult) -> ComponentResult:
            wrong = row.state == "FAIL" and any(test.outcome in RECOGNISABLE for test in row.tests)
            if wrong and not self.references_of(row.name).fingerprints:
                stored = _stored(self.edition.path, row.name)
                if stored.fingerprints:
                    return replace(row, match=graders.recognise(self.tests[row.name], submission, session, stored))
            return row

        return replace(results, components=tuple(map(looked_at, results.components)))

    def _record(self, opened: Opened, status: str, **more: Any) -> Record:
        """A record; without ``more`` that of a submission that was not graded."""
        without = {"files": {}, "ignored": opened.older, "results": not_run(self.edition, self.tests)}
        return Record(
            student=opened.student,
            slug=opened.slug,
            edition=self.edition.name,
            status=status,
            source=text.line(opened.path.name),
            submission=opened.sha256,
            grader=self.conditions.grader,
            seed=self.seed,
            isolation=self.conditions.isolation,
            environment=environment(self.conditions),
            times={"started": _now(), "seconds": 0.0},
            **{**without, **more},
        )


@functools.cache
def _stored(edition: Path, component: str) -> References:
    return references.load(editions.read(edition), component)


def not_run(edition: Edition, tests: Mapping[str, Sequence[Grader]]) -> Results:
    """No marks: every planned test, ``not run``."""
    rows = [
        ComponentResult(
            name,
            edition.components[name].points,
            tuple(TestResult(test.name, test.question, test.weight, "not run") for test in planned),
        )
        for name, planned in tests.items()
    ]
    return Results(edition.name, tuple(rows))


def start(edition: Edition, made_under: Conditions) -> Session:
    """Start a worker that keeps these conditions.

    Raises:
        UserError: this kind of isolation does not work here.
    """
    seconds = made_under.seconds
    limits = Limits(seconds=seconds, memory=made_under.memory << 20, total=CALLS * seconds)
    return isolation.session(made_under.isolation, edition, edition.components, limits)


def environment(made_under: Conditions) -> dict[str, str]:
    """What a record says about how it was made: limits, versions, and the kind of machine."""
    limits = {"seconds": f"{made_under.seconds:.15g}", "memory": str(made_under.memory)}
    return {**limits, **grader_hash.versions(), "system": f"{platform.system()} {platform.machine()}"}


def hash_of_refused(path: Path, refusal: Refused) -> str:
    """sha256 of a refused file's bytes; of anything else, which may be too large or too odd to read, of the reason."""
    try:
        with os.fdopen(folders.opened(path), "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST_HASHED:
                return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        pass
    return hashlib.sha256(refusal.reason.encode("utf-8", "replace")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
