"""A record as the ``results.json`` that Gradescope reads: one entry a component, with what to fix in plain text."""

from __future__ import annotations

import json
from typing import Any

from autograder.classroom.records import Record
from autograder.classroom.reports import findings
from autograder.classroom.reports.findings import Graded, Tested
from autograder.engine import marks
from autograder.engine.table import described

LONGEST = 16_000  # characters of one entry
EXTRA = ("status", "submission", "grader", "isolation")  # of a record, for the staff
LABEL = max(map(len, ("out of memory", *findings.LABELS.values()))) + 2


def results(record: Record) -> dict[str, Any]:
    """Plain data for JSON. It has no seed and nothing that a student may not see.

    There is no total: Gradescope adds up the entries. Marks are rounded to thousandths, never up to full marks.
    """
    return {
        "output": findings.notice(record),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_entry(number, row) for number, row in enumerate(findings.components(record), start=1)],
        "extra_data": {"track": record.edition, **{name: getattr(record, name) for name in EXTRA}},
    }


def to_json(record: Record) -> str:
    return json.dumps(results(record), indent=2, ensure_ascii=True) + "\n"


def _entry(number: int, row: Graded) -> dict[str, Any]:
    return {
        "name": row.name,
        "number": str(number),
        "score": marks.cut(row.earned, 3),
        "max_score": row.points,
        "status": "passed" if row.state == "ok" else "failed",
        "output": _output(row),
        "output_format": "text",
        "visibility": "visible",
        "tags": [row.state, *([row.match.name] if row.match else [])],
    }


def _output(row: Graded) -> str:
    """First what explains the whole component, then every test."""
    lines = [described(row.match)] if row.match else []
    lines += [f"not allowed: {use}" for use in row.uses]
    if row.more_uses:
        lines.append(f"and {marks.count(row.more_uses, 'more use', 'more uses')} of what is not allowed")
    if row.blocked_by:
        lines.append(f"blocked by: {', '.join(row.blocked_by)}")
    blocks = ["\n".join(lines)] if lines else []
    blocks.append("\n".join(line for test in row.tests for line in _lines(test)))
    output = "\n\n".join(blocks)
    return output if len(output) <= LONGEST else output[:LONGEST] + "\n…"


def _lines(test: Tested) -> list[str]:
    indent = " " * LABEL
    lines = [f"{test.label:<{LABEL}}{test.question}"]
    if test.repeats:
        return [*lines, f"{indent}(as above)"]
    lines += [indent + line for line in (test.headline, *test.details.split("\n")) if line]
    if test.printed:
        lines += [f"{indent}it printed:", *(f"{indent}| {line}" for line in test.printed.split("\n"))]
    return lines
