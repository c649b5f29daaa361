"""The gradebook: every grading of a class in one SQLite file, the latest of each student and what was before.

One transaction a student: what is written is there after a power cut, and what is not has left no trace. The tables are
in ``gradebook.sql``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autograder.classroom.records import Record
from llamalab import files
from llamalab.errors import UserError

FILE = "gradebook.sqlite"
TABLES = Path(__file__).with_name("gradebook.sql")
APPLICATION, VERSION = 0x4C4C4142, 1  # in the file's header: whose it is, and which tables it has
PATIENCE = 30.0  # seconds to wait for another process that reads or writes
IN_RESULT = ("student", "slug", "status", "problem", "source", "submission", "grader", "seed", "isolation")


@dataclass(frozen=True)
class Conditions:
    """What decides marks besides the submission and the inputs."""

    grader: str
    isolation: str
    seconds: float
    memory: int

    @classmethod
    def of(cls, record: Record) -> Conditions:
        """Those that a record was made under."""
        settings = record.environment
        return cls(record.grader, record.isolation, float(settings["seconds"]), int(settings["memory"]))


@dataclass(frozen=True)
class GradingRun:
    """One run of ``grade``, perhaps in several goes."""

    number: int
    conditions: Conditions
    seed: int
    regrade: bool


class Gradebook(AbstractContextManager):
    """An open gradebook.

    Args:
        path: the file, which must exist; ``of_edition`` makes one.

    Raises:
        UserError: here and in every method: there is no such file, it is no gradebook or a newer one, it is damaged,
            or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{self.path} does not exist; `python -m autograder grade` writes one")
        with self._told():
            self._database = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
            self._database.row_factory = sqlite3.Row
            try:
                self._check()
                self._database.execute("PRAGMA foreign_keys = ON")
                self._database.execute("PRAGMA synchronous = FULL")
                self.edition = self._database.execute("SELECT track FROM about").fetchone()["track"]
            except BaseException:
                self._database.close()
                raise

    @classmethod
    def of_edition(cls, path: Path, edition: str) -> Gradebook:
        """Open an edition's gradebook, or make it.

        Raises:
            UserError: it is another edition's.
        """
        if not path.exists():
            _create(path, edition)
        book = cls(path)
        if book.edition != edition:
            book.close()
            raise UserError(f"{path} is of the edition {book.edition}, not {edition}; name another folder with --out")
        return book

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def records(self) -> list[Record]:
        """The latest of each student, in the order of their slugs."""
        return [record for record, _ in self.records_with_runs()]

    def records_with_runs(self) -> list[tuple[Record, int]]:
        """The same, each with the number of the run it was made in."""
        with self._told():
            rows = self._database.execute("SELECT record, run FROM gradings WHERE latest ORDER BY slug").fetchall()
            return [(_record(text), run) for text, run in rows]

    def unfinished(self) -> GradingRun | None:
        """The last run, if it was cut off."""
        with self._told():
            last = "SELECT * FROM runs WHERE run = (SELECT max(run) FROM runs) AND finished IS NULL"
            row = self._database.execute(last).fetchone()
            if row is None:
                return None
            conditions = Conditions(row["grader"], row["isolation"], row["seconds"], row["memory"])
            return GradingRun(row["run"], conditions, row["seed"], bool(row["regrade"]))

    def begin(self, conditions: Conditions, seed: int, regrade: bool) -> GradingRun:
        """Note that a run starts."""
        values = {**vars(conditions), "seed": seed, "regrade": int(regrade), "started": _now()}
        with self._transaction():
            number = self._insert("runs", values)
        return GradingRun(number, conditions, seed, regrade)

    def finish(self, run: GradingRun) -> None:
        """Note that a run has nothing left to do."""
        with self._transaction():
            self._database.execute("UPDATE runs SET finished = ? WHERE run = ?", (_now(), run.number))

    def add(self, run: GradingRun, record: Record) -> None:
        """Keep a record as its student's latest; what was the latest becomes history. On disk when this returns."""
        with self._transaction():
            self._database.execute("UPDATE gradings SET latest = 0 WHERE slug = ? AND latest", (_plain(record.slug),))
            result = {name: getattr(record, name) for name in IN_RESULT}
            marks = {"earned": record.results.earned, "points": record.results.points}
            values = {"run": run.number, "latest": 1, **result, **marks, **record.times, "record": record.to_json()}
            number = self._insert("gradings", values)
            for table, row in _details(record):
                self._insert(table, {"grading": number, **row})

    def changes(self, run: GradingRun) -> list[tuple[Record, Record]]:
        """Of every student graded in a run who had been graded before it: the record before it, and the new one."""
        query = """
            SELECT old.record, new.record FROM gradings AS new JOIN gradings AS old ON old.grading =
                (SELECT max(grading) FROM gradings WHERE slug = new.slug AND run < new.run)
            WHERE new.run = ? AND new.grading = (SELECT max(grading) FROM gradings WHERE slug = new.slug)
            ORDER BY new.slug
        """
        with self._told():
            return [(_record(old), _record(new)) for old, new in self._database.execute(query, (run.number,))]

    def _check(self) -> None:
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION:
            raise UserError(f"{self.path} is not a gradebook; name another folder with --out")
        if version > VERSION:
            raise UserError(f"{self.path} was written by a newer version of this program; update this one")
        (state,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that happens inside, or nothing."""
        with self._told():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's complaints as sentences."""
        try:
            yield
        except sqlite3.OperationalError as error:
            says = f"{self.path} cannot be used ({error}); is the disk full, or another program in it?"
            raise UserError(says) from error
        except sqlite3.Error as error:
            says = f"{self.path} is damaged ({error}); put back a copy of it, or name another folder with --out"
            raise UserError(says) from error

    def _insert(self, table: str, values: Mapping[str, Any]) -> int:
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        plain = [_plain(value) for value in values.values()]
        return self._database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", plain).lastrowid


def _create(path: Path, edition: str) -> None:
    """Make an empty gradebook, whole or not at all."""
    try:
        with files.atomic(path) as file, closing(sqlite3.connect(file.name, isolation_level=None)) as database:
            database.executescript(f"BEGIN; {TABLES.read_text('utf-8')} COMMIT;")
            database.execute("INSERT INTO about VALUES (?)", (edition,))
            database.execute(f"PRAGMA application_id = {APPLICATION}")
            database.execute(f"PRAGMA user_version = {VERSION}")
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"{path} cannot be written ({error}); name another folder with --out") from error


def _details(record: Record) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of the other tables, each with its table."""
    for row in record.results.components:
        marks = {"earned": row.earned, "points": row.points, "state": row.state}
        match = row.match.name if row.match else None
        yield "components", {"component": row.name, **marks, "misconception": match}  # the column's first name
        for test in row.tests:
            outcome = {"weight": test.weight, "outcome": test.outcome, "message": test.message}
            yield "tests", {"component": row.name, "test": test.name, **outcome}
    yield from (("files", {"file": name, "sha256": digest}) for name, digest in record.files.items())
    yield from (("environment", {"name": name, "value": value}) for name, value in record.environment.items())


def _record(text: str) -> Record:
    try:
        return Record.from_dict(json.loads(text))
    except (ValueError, TypeError, AttributeError) as error:
        raise sqlite3.DataError(f"a record is unreadable: {error}") from error


def _plain(value: Any) -> Any:
    """A value that every program can read: text without half characters, and without NUL, which ends it for some."""
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "?") if isinstance(value, str) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
