"""What a run of ``grade`` has to do: which submissions are new, changed or unchanged, and which are gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from autograder.classroom.gradebook import Conditions, Gradebook, GradingRun
from autograder.classroom.marking import Opened, opened
from autograder.classroom.records import Record
from autograder.editions import Edition
from autograder.intake.opening import Found


@dataclass(frozen=True)
class Plan:
    """What to do.

    Args:
        run: the run that goes on, if the last one was cut off and the same is asked for; None for a new one.
        todo: the submissions to grade, as they were when they were compared.
        unchanged: how many keep their result.
        gone: students of the gradebook without a submission.
    """

    run: GradingRun | None
    todo: tuple[Opened, ...]
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
        submission = opened(each, edition)
        record, number = known.get(each.slug, (None, 0))
        same = record is not None and _is_current(record, submission.sha256, conditions, seed)
        if not same or (regrade and (run is None or number != run.number)):
            todo.append(submission)
    gone = [record.student for slug, (record, _) in known.items() if slug not in {each.slug for each in found}]
    return Plan(run, tuple(todo), len(found) - len(todo), tuple(gone))


def _is_current(record: Record, digest: str, conditions: Conditions, seed: int | None) -> bool:
    same = record.submission == digest and Conditions.of(record) == conditions and seed in (None, record.seed)
    return same and record.status != "failed"
