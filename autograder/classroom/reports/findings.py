"""What one student is told: every component and test in words that are safe to show, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autograder.classroom.records import Record
from autograder.engine.results import ComponentResult, TestResult
from llamalab import text

LABELS = {"pass": "right", "fail": "wrong", "todo": "to do", "timeout": "timed out", "out of memory": "out of memory"}
STOPS = ("error", "timeout", "out of memory", "crashed")
MESSAGE_LINES, PRINTED_LINES, WIDTH = 24, 20, 200
USES, IGNORED = 20, 30

REFUSED = "This submission could not be opened, so nothing of it was graded:"
FAILED = (
    "Grading went wrong on the course's side, not in this submission. It has no marks yet and will be graded again."
)
UNPROTECTED = "Graded without a sandbox (--isolation=process): these marks are only as trustworthy as the code."


@dataclass(frozen=True, kw_only=True)
class Tested(TestResult):
    """One test.

    Args:
        headline: the first line of the feedback; ``details`` has the others.
        repeats: an earlier test of the component has the same feedback.
        printed: what the code printed, unless it is repeated.
        worth: marks.
    """

    headline: str
    details: str
    repeats: bool
    worth: float

    @property
    def label(self) -> str:
        return LABELS.get(self.outcome, self.outcome)


@dataclass(frozen=True, kw_only=True)
class Graded(ComponentResult):
    """One component.

    Args:
        more_uses: how many forbidden ones there are besides ``uses``.
    """

    tests: tuple[Tested, ...]
    more_uses: int

    @property
    def passed(self) -> int:
        return sum(test.outcome == "pass" for test in self.tests)

    @property
    def first(self) -> Tested | None:
        """The test that says best what is wrong: the first to do, or the first that did not pass."""
        failed = [test for test in self.tests if test.outcome != "pass"]
        return next((test for test in failed if test.outcome == "todo"), failed[0] if failed else None)


class Next(NamedTuple):
    """What to do next, and ``same``: other components that stop with the same words."""

    component: Graded
    same: tuple[str, ...]


def tone(row: ComponentResult) -> str:
    """How a component stands, for colours and counts: ``ok``, ``part`` (some marks), ``none`` or ``todo``."""
    return row.state if row.state in ("ok", "todo") else "part" if row.share > 0 else "none"


def components(record: Record) -> list[Graded]:
    """Every component of a record."""
    return [_component(row) for row in record.results.components]


def next_step(rows: Sequence[Graded]) -> Next | None:
    """The component to look at first: what fails before what is unwritten, what others need before those others."""
    open_rows = [row for row in rows if row.state != "ok"]
    if not open_rows:
        return None
    free = [row for row in open_rows if not row.blocked_by] or open_rows
    chosen = next((row for row in free if row.state == "FAIL"), free[0])
    words = _words(chosen)
    same = tuple(row.name for row in open_rows if words and row is not chosen and _words(row) == words)
    return Next(chosen, same)


def notice(record: Record) -> str:
    """What concerns the whole submission; empty for nothing."""
    problem = text.line(record.problem, 600)
    if record.status == "refused":
        return f"{REFUSED} {problem}"
    if record.status == "failed":
        return FAILED
    return UNPROTECTED if record.isolation == "process" else ""


def names(values: Sequence[str], most: int) -> tuple[list[str], int]:
    """The first of many names, each a short line, and how many more there are."""
    return [text.line(value) for value in values[:most]], max(0, len(values) - most)


def _words(row: Graded) -> str:
    """What a component stops with, if the code stops rather than answers."""
    first = row.first
    return f"{first.headline}\n{first.details}" if first and first.outcome in STOPS else ""


def _component(row: ComponentResult) -> Graded:
    weights = sum(test.weight for test in row.tests)
    seen, printed, tests = set(), {""}, []
    for test in row.tests:
        repeats = test.outcome != "pass" and (test.outcome, test.message) in seen
        headline, _, details = text.lines(test.message, MESSAGE_LINES, WIDTH).partition("\n")
        shown = {
            "headline": headline,
            "details": details,
            "repeats": repeats,
            "printed": "" if repeats or test.printed in printed else text.lines(test.printed, PRINTED_LINES, WIDTH),
            "worth": row.points * test.weight / weights if weights else 0.0,
        }
        tests.append(Tested(**vars(test) | shown))
        seen.add((test.outcome, test.message))
        printed.add(test.printed)
    uses, more_uses = names(row.uses, USES)
    return Graded(**vars(row) | {"tests": tuple(tests), "uses": tuple(uses)}, more_uses=more_uses)
