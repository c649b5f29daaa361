"""Two gradings of one student, compared: whose marks change, in which test, and what it can come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from autograder.classroom.records import Record
from autograder.engine.results import Results, TestResult

SETTINGS = {"seconds": "time limit", "memory": "memory limit"}  # in a record's environment


def marks(old: Record, new: Record) -> str:
    """``82.5 -> 100 of 100``; a status where there are no marks."""
    return f"{_marks(old)} -> {_marks(new)} of {new.results.points:g}"


def causes(old: Record, new: Record) -> list[str]:
    """What was not the same in the two gradings, in a few words each."""
    found = [f"{name} differs" for name in changed_files(old, new)]
    if old.submission != new.submission and not found:
        found.append("another submission")
    if old.grader != new.grader:
        found.append("another grader")
    now_and_before = [("seed", new.seed, old.seed), ("isolation", new.isolation, old.isolation)]
    for name, words in SETTINGS.items():
        now_and_before.append((words, new.environment.get(name), old.environment.get(name)))
    return found + instead(now_and_before)


def instead(values: Iterable[tuple[str, Any, Any]]) -> list[str]:
    """``seed 5 instead of 3`` for each value, given by its name, now and before, that is not the same."""
    return [f"{name} {now} instead of {before}" for name, now, before in values if now != before]


def changed_files(old: Record, new: Record) -> list[str]:
    """The student's files that are not the same, or not there, in one of the two."""
    return sorted(name for name in {*old.files, *new.files} if old.files.get(name) != new.files.get(name))


def outcomes(old: Record, new: Record) -> list[str]:
    """``rope test_keys: fail -> pass`` for every test with another outcome; ``absent`` is one that was not there."""
    before, after = dict(_tests(old.results)), dict(_tests(new.results))
    lines = []
    for where in dict.fromkeys([*before, *after]):
        was, now = (tests[where].outcome if where in tests else "absent" for tests in (before, after))
        if was != now:
            lines.append(f"{' '.join(where)}: {was} -> {now}")
    return lines


def feedback(old: Record, new: Record) -> list[str]:
    """The tests and components that end the same way, but are told to the student in other words."""
    before, after = dict(_tests(old.results)), dict(_tests(new.results))
    lines = [
        f"{' '.join(where)}: another message"
        for where, test in after.items()
        if where in before and before[where].outcome == test.outcome and before[where] != test
    ]
    rows = {row.name: row for row in old.results.components}
    for row in new.results.components:
        was = rows.get(row.name)
        if was is not None and (was.match, was.uses, was.blocked_by) != (row.match, row.uses, row.blocked_by):
            lines.append(f"{row.name}: another mistake, forbidden use or blocking component")
    return lines


def _marks(record: Record) -> str:
    return f"{record.results.earned:g}" if record.status == "graded" else record.status


def _tests(results: Results) -> Iterator[tuple[tuple[str, str], TestResult]]:
    for component in results.components:
        for test in component.tests:
            yield (component.name, test.name), test
