"""``python -m autograder grade``: a class, several submissions at a time, each result on disk as soon as it is there.

Only the main thread writes, and Ctrl-C stops it first: a result that Ctrl-C spoilt, by ending a worker, is never kept.
"""

from __future__ import annotations

import argparse
import math
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autograder import editions
from autograder.classroom import grader_hash, inputs, live, marking, plan, report, summary
from autograder.classroom.crew import Crew, Done
from autograder.classroom.gradebook import FILE, Conditions, Gradebook, GradingRun
from autograder.classroom.marking import Engine, Opened
from autograder.classroom.plan import Plan
from autograder.classroom.records import Record
from autograder.editions import Edition
from autograder.engine import graders
from autograder.engine.session import processors
from autograder.intake import opening
from llamalab import files
from llamalab.command import INTERRUPTED
from llamalab.errors import UserError

JSON, PAGE, FAILURES, LOCK = "json", "index.html", "failures.log", ".lock"
NO_SANDBOX = (
    "warning: --isolation=process: submissions can read your files and reach the network; use it only for code that "
    "you trust. Every result says so."
)


def run(options: argparse.Namespace) -> int:
    """Grade a folder; the exit status is 1 if grading itself failed for a submission, and 130 after Ctrl-C.

    Raises:
        UserError: an argument that makes no sense, a folder or gradebook that cannot be used, or a worker that does not
            start.
    """
    edition = editions.load(options.edition)
    _check(options)
    found = opening.find(options.submissions)
    if options.isolation == "process":
        print(NO_SANDBOX, file=sys.stderr)
    conditions = Conditions(grader_hash.of(edition), options.isolation, options.seconds, options.memory)
    with _results_folder(options.out), Gradebook.of_edition(options.out / FILE, edition.name) as book:
        planned = plan.make(found, book, edition, conditions, options.seed, options.regrade)
        if planned.gone:
            print(summary.gone(planned.gone))
        batch = Batch(edition, options.workers or processors(), book, options.out)
        batch.write_missing_files()
        if not planned.todo and planned.run is None and (options.out / PAGE).is_file():
            print(f"nothing to do: {len(found)} graded and unchanged; --regrade grades them again")
            return 0
        fresh = secrets.randbelow(marking.LARGEST_SEED + 1)  # nobody can guess it
        seed = fresh if options.seed is None else options.seed
        current = planned.run or book.begin(conditions, seed, options.regrade)
        try:
            graded = batch.grade(planned, current)
            report.write(book.records(), edition, options.out)
            book.finish(current)
        except KeyboardInterrupt:
            print("stopped: what is graded is kept, and the same command goes on with the rest", file=sys.stderr)
            return INTERRUPTED
        print(summary.changes(book.changes(current)), end="")
        print(summary.of_class(book.records(), len(graded), planned.unchanged, options.out / PAGE), end="")
    return 1 if any(record.status == "failed" for record in graded) else 0


@dataclass(frozen=True)
class Batch:
    """A class that is being graded.

    Args:
        workers: submissions at a time.
        out: the folder of the results.
    """

    edition: Edition
    workers: int
    book: Gradebook
    out: Path

    def grade(self, planned: Plan, run: GradingRun) -> list[Record]:
        """Grade what is to do and keep each result as it comes.

        Raises:
            UserError: a worker does not start, or a result cannot be written.
        """
        if not planned.todo:
            return []
        count = min(self.workers, len(planned.todo))
        print(summary.beginning(planned, run, count), flush=True)
        graded = []
        # Torch loads in the workers while graders and inputs are made here.
        with Crew(partial(marking.start, self.edition, run.conditions), count) as crew:
            tests = graders.collect(self.edition)
            references_of = inputs.fresh(self.edition, run.seed)
            how = Engine(self.edition, tests, references_of, run.seed, run.conditions)
            with live.view(len(planned.todo)) as view:
                for event in crew.grade(how, planned.todo):
                    if isinstance(event, Opened):
                        view.started(event.slug, event.student)
                    elif isinstance(event, Done):
                        self._keep(run, event)
                        graded.append(event.record)
                        view.done(event.record)
                    else:
                        view.refresh()
        return graded

    def write_missing_files(self) -> None:
        """Write the results' files that a killed run did not get to, and clear away what it had begun."""
        for path in (self.out / JSON).glob(".*"):
            path.unlink()
        for record in self.book.records():
            path = self._file(record)
            if not path.is_file() or path.read_text("utf-8", errors="replace") != record.to_json():
                self._write(record)

    def _keep(self, run: GradingRun, done: Done) -> None:
        self.book.add(run, done.record)
        self._write(done.record)
        if done.trace:
            with open(self.out / FAILURES, "a", encoding="utf-8") as file:
                file.write(f"{done.record.slug}, {done.record.times['started']}\n{done.trace}\n")

    def _write(self, record: Record) -> None:
        path = self._file(record)
        try:
            files.write_text(path, record.to_json())
        except OSError as error:
            says = f"{path} cannot be written: {error.strerror}; make room, then run the command again"
            raise UserError(says) from error

    def _file(self, record: Record) -> Path:
        return self.out / JSON / f"{record.slug}.json"


def _check(options: argparse.Namespace) -> None:
    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers {options.workers}: at least 1 is needed")
    if options.seed is not None and not 0 <= options.seed <= marking.LARGEST_SEED:
        raise UserError(f"--seed {options.seed}: a seed is from 0 to {marking.LARGEST_SEED}")
    if not (options.seconds > 0 and math.isfinite(options.seconds)):
        raise UserError(f"--seconds {options.seconds:g}: a call needs some time, such as 10")
    if options.memory < 1:
        raise UserError(f"--memory {options.memory}: a call needs some memory, such as 1024 (MB)")


@contextmanager
def _results_folder(folder: Path) -> Iterator[None]:
    """Make the folder of the results and keep other runs out of it.

    Raises:
        UserError: it cannot be written, or another run is in it.
    """
    try:
        (folder / JSON).mkdir(parents=True, exist_ok=True)
        with files.locked(folder / LOCK, f"{folder} is in use by another `grade`; wait, or name another with --out"):
            yield
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}; name another folder with --out") from error
