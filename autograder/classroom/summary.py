"""What ``grade`` says in words: before it begins, whose marks changed, and how the class did."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from autograder.classroom import differences
from autograder.classroom.gradebook import GradingRun
from autograder.classroom.live import duration
from autograder.classroom.plan import Plan
from autograder.classroom.records import Record
from autograder.engine import marks
from llamalab import text

SHOWN = 10  # lines of one kind
LONGEST = 200  # characters of a sentence


def gone(students: Sequence[str]) -> str:
    """One line on students whose submission is no longer in the folder."""
    names = ", ".join(text.line(student) for student in students[:SHOWN])
    more = f" and {len(students) - SHOWN} more" if len(students) > SHOWN else ""
    return f"kept in the gradebook, though no longer among the submissions: {names}{more}"


def beginning(planned: Plan, run: GradingRun, workers: int) -> str:
    """What is going to happen."""
    submissions, crew = marks.count(len(planned.todo), "submission"), marks.count(workers, "worker")
    goes_on = ", where the last run was cut off" if planned.run else ""
    unchanged = f"; {planned.unchanged} unchanged" if planned.unchanged else ""
    return f"grading {submissions} with {crew}, seed {run.seed}{goes_on}{unchanged}"


def changes(pairs: Iterable[tuple[Record, Record]]) -> str:
    """Of every student whose marks or outcomes are not what they were: how, why, and in which tests."""
    lines = []
    for old, new in pairs:
        outcomes = differences.outcomes(old, new)
        if outcomes or old.status != new.status or old.results.earned != new.results.earned:
            why = ", ".join(differences.causes(old, new)) or "nothing else differs: this submission is not repeatable"
            lines.append(f"{text.line(new.student)}: {differences.marks(old, new)} ({why})")
            lines += _some(outcomes)
    return "".join(f"{line}\n" for line in lines)


def of_class(records: Sequence[Record], graded: int, unchanged: int, page: Path) -> str:
    """How the class did."""
    lines = [f"{marks.count(len(records), 'student')}: {graded} graded now, {unchanged} unchanged"]
    marked = [record for record in records if record.status == "graded"]
    if marked:
        earned = [record.results.earned for record in marked]
        middle = f"mean {statistics.mean(earned):.1f}, median {statistics.median(earned):.1f}"
        lines.append(f"marks: {middle} of {marks.figure(marked[0].results.points)}")
        slowest = max(marked, key=lambda record: record.times["seconds"])
        lines.append(f"slowest: {text.line(slowest.student)}, {duration(slowest.times['seconds'])}")
    for status in ("refused", "failed"):
        those = [record for record in records if record.status == status]
        if those:
            told = [f"{text.line(record.student)}: {text.line(record.problem, LONGEST)}" for record in those]
            lines += [f"{status}: {len(those)}", *_some(told)]
    return "".join(f"{line}\n" for line in [*lines, f"pages: {page}"])


def _some(lines: Sequence[str]) -> list[str]:
    """The first lines of a list, set in."""
    more = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [*(f"  {line}" for line in lines[:SHOWN]), *more]
