"""The class as a table for spreadsheets: a row a student, in which no text can become a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from autograder.classroom.records import Record
from autograder.engine import marks
from llamalab import text

# What makes a spreadsheet compute: at the start, perhaps behind blanks and quotes, and behind anything that a program
# with other settings may take for the end of a cell. The wide forms count in some languages.
_FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_START = re.compile(f"^(?=[\\s\"'`]*[{_FORMULA}])")
_INSIDE = re.compile(f"([;,|])(?=[\\s\"'`]*[{_FORMULA}])")
LONGEST = 500


def table(records: Sequence[Record]) -> str:
    """The table as text. A student without marks has empty cells, not zeros."""
    rows = [row for record in records for row in record.results.components if row.points]
    components = list(dict.fromkeys(row.name for row in rows))
    header = ["student", "id", "status", "total", "out_of", *components, "misconceptions", "problem", "isolation"]
    return as_text([header, *(_row(record, components) for record in records)])


def as_text(rows: Iterable[Sequence[str | int | float]]) -> str:
    """Rows as they stand in a file; texts have been through ``cell``."""
    output = io.StringIO()
    csv.writer(output, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return output.getvalue()


def cell(value: str) -> str:
    """Text on one line that every spreadsheet takes for text; an apostrophe stands before what would be a formula."""
    line = text.line(value, LONGEST)
    return _INSIDE.sub(r"\1'", _START.sub("'", line))


def _row(record: Record, components: Sequence[str]) -> list[str | int | float]:
    graded = record.status == "graded"
    earned = {row.name: row.earned for row in record.results.components} if graded else {}
    matches = [f"{row.name}: {row.match.name}" for row in record.results.components if row.match]
    return [
        cell(record.student),
        cell(record.slug),
        record.status,
        _number(record.results.earned) if graded else "",
        _number(record.results.points),
        *(_number(earned[name]) if name in earned else "" for name in components),
        cell("; ".join(matches)),
        cell(record.problem),
        record.isolation,
    ]


def _number(value: float) -> int | float:
    """Rounded down to thousandths, so that only full marks are full marks."""
    cut = marks.cut(value, 3)
    return int(cut) if cut == int(cut) else cut
