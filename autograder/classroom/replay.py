"""``python -m autograder replay``: grade one submission again with a result's seed and limits, and compare."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from autograder import editions
from autograder.classroom import differences, grader_hash, inputs, marking
from autograder.classroom.gradebook import Conditions
from autograder.classroom.marking import LARGEST_SEED, Engine
from autograder.classroom.records import STATUSES, Record
from autograder.engine import graders
from autograder.engine.results import OUTCOMES
from autograder.intake.opening import Found
from llamalab import text
from llamalab.errors import UserError

LONGEST = 200  # characters of a line


def run(result: Path, submission: Path, kind: str, edition_name: str | None = None) -> int:
    """Print what differs, or ``identical``; the exit status is 0 only for that.

    A grader or an isolation that differs is said, and is no difference by itself.

    Raises:
        UserError: the result cannot be read, the submission does not exist, or a worker does not start.
    """
    old = read(result)
    if not submission.exists():
        raise UserError(f"{submission} does not exist; name what {text.line(old.student)} handed in")
    new = _again(old, submission, kind, edition_name or old.edition)
    for line in notes(old, new):
        print(f"note: {text.line(line, LONGEST)}")
    found = found_in(old, new)
    for line in found or ["identical"]:
        print(text.line(line, LONGEST))
    return 1 if found else 0


def read(path: Path) -> Record:
    """A result file, checked.

    Raises:
        UserError: it cannot be read, or is not a result.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        record = Record.from_dict(data)
        _check(record)
        if json.loads(record.to_json()) != data:
            raise ValueError("marks do not follow from the tests' outcomes")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; name a file of results/json/") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not a result of `grade` ({error}); name a file of results/json/") from error
    return record


def notes(old: Record, new: Record) -> list[str]:
    """What was not the same this time, apart from the submission."""
    found = ["another grader than when it was graded"] if old.grader != new.grader else []
    now, before, names = new.environment, old.environment, sorted({*old.environment, *new.environment})
    versions = ((name, now.get(name, "none"), before.get(name, "none")) for name in names)
    return found + differences.instead([("isolation", new.isolation, old.isolation), *versions])


def found_in(old: Record, new: Record) -> list[str]:
    """What differs in the submission or in what was found."""
    found = []
    if old.submission != new.submission:
        files = ", ".join(differences.changed_files(old, new)) or "what was handed in"
        found.append(f"another submission: {files} differs")
    if (old.status, old.results.earned) != (new.status, new.results.earned):
        found.append(f"marks: {differences.marks(old, new)}")
    if old.problem != new.problem:
        found.append(f"{old.problem or 'no problem'} -> {new.problem or 'no problem'}")
    return found + differences.outcomes(old, new) + differences.feedback(old, new)


def _again(old: Record, submission: Path, kind: str, edition_name: str) -> Record:
    """The submission's record, made as ``old`` was."""
    edition = editions.load(edition_name)
    now = replace(Conditions.of(old), grader=grader_hash.of(edition), isolation=kind)
    found = Found(old.student, old.slug, submission)
    with marking.start(edition, now) as session:
        tests = graders.collect(edition)
        how = Engine(edition, tests, inputs.fresh(edition, old.seed), old.seed, now)
        return replace(how.grade(marking.opened(found, edition), session), source=old.source)


def _check(record: Record) -> None:
    """The values that are used before they are compared.

    Raises:
        ValueError: one cannot be.
    """
    names = (record.student, record.slug, record.edition, record.source)
    outcomes = {test.outcome for row in record.results.components for test in row.tests} - set(OUTCOMES)
    limits = Conditions.of(record)
    wrong = {
        f"the seed {record.seed!r} is none": type(record.seed) is not int or not 0 <= record.seed <= LARGEST_SEED,
        f"the status {record.status!r} is none": record.status not in STATUSES,
        "a name is no text": not all(isinstance(name, str) for name in names),
        f"there is no outcome {', '.join(map(repr, outcomes))}": outcomes,
        "its limits are none": not (0 < limits.seconds < float("inf") and 0 < limits.memory),
    }
    for says in filter(wrong.get, wrong):
        raise ValueError(says)
