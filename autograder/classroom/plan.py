"""What a run of ``grade`` has to do: which submissions are new, changed or unchanged, and which are gone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from autograder.classroom.gradebook import Conditions, Gradebook, GradingRun
from autograder.classroom.marking import hash_of_refused
from autograder.classroom.records import Record
from autograder.editions import Edition
from autograder.intake import opening
from autograder.intake.opening import Found, Refused


@dataclass(frozen=True)
class Plan:
    """What to do.

    Args:
        run: the run that goes on, if the last one was cut off and the same is asked for; None for a new one.
        todo: the submissions to grade, each with its hash.
        unchanged: how many keep their result.
        gone: students of the gradebook without a submission.
    """

    run: GradingRun | None
    todo: tuple[tuple[Found, str], ...]
    unchanged: int
    gone: tuple[str, ...]


def make(
    found: Sequence[Found], book: Gradebook, edition: Edition, conditions: Conditions, seed: int | None, regrade: bool
) -> Plan:
    """Compare the submissions with the gradebook.

    A result is kept if the submission, the conditions, and the seed where one is asked for, are the same, and grading
    did not fail. To ``regrade`` keeps only what the run that goes on has done.
    """
    run = book.unfinished()
    if run and (run.conditions != conditions or run.regrade != regrade or seed not in (None, run.seed)):
        run = None
    known = {record.slug: (record, number) for record, number in book.records_with_runs()}
    todo = []
    for each in tqdm(found, desc="looking at submissions", unit="", delay=2, leave=False, disable=None):
        digest = hash_of(each.path, edition)
        record, number = known.get(each.slug, (None, 0))
        same = record is not None and _is_current(record, digest, conditions, seed)
        if not same or (regrade and (run is None or number != run.number)):
            todo.append((each, digest))
    gone = [record.student for slug, (record, _) in known.items() if slug not in {each.slug for each in found}]
    return Plan(run, tuple(todo), len(found) - len(todo), tuple(gone))


def hash_of(path: Path, edition: Edition) -> str:
    """A submission's hash, as its record will have it."""
    try:
        return opening.open_submission(path, edition).sha256
    except Refused as refusal:
        return hash_of_refused(path, refusal)
    except Exception as error:  # no submission stops a class; grading it will say what is wrong
        return hashlib.sha256(repr(error).encode("utf-8", "replace")).hexdigest()


def _is_current(record: Record, digest: str, conditions: Conditions, seed: int | None) -> bool:
    same = record.submission == digest and Conditions.of(record) == conditions and seed in (None, record.seed)
    return same and record.status != "failed"
