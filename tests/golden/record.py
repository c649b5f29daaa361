"""What grading says today of the solved tree and of every bank's entry, to be compared after something moved.

    python -m tests.golden.record            writes the files beside this one
    python -m pytest -m slow tests/golden    compares

``check.jsonl`` has a line for each submission: what ``check --json`` says of it, without the questions, and of passed
tests only their number. ``audit.txt`` is the audit's report. ``handout-EDITION.txt`` lists a handout's files with their
sha256. A file changes only for a reason that its commit gives.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autograder import editions as courses
from autograder.engine import graders
from autograder.engine.results import Results
from autograder.engine.session import Session
from autograder.instructor import audit
from autograder.instructor.handout import assemble
from autograder.intake.submission import Submission

HERE = Path(__file__).parent
CHECK = HERE / "check.jsonl"


def editions() -> list[str]:
    """Every edition whose grading is kept."""
    return courses.names()


def brief(results: Results) -> list[dict[str, Any]]:
    """What a student is told of each component: marks, state, every outcome, and the words where it is not a pass."""
    return [
        {
            "component": row.name,
            "earned": round(row.earned, 4),
            "state": row.state,
            "passed": sum(test.outcome == "pass" for test in row.tests),
            "others": {test.name: [test.outcome, test.message] for test in row.tests if test.outcome != "pass"},
            "match": row.match.name if row.match else None,
            "uses": list(row.uses),
            "blocked_by": list(row.blocked_by),
        }
        for row in results.components
    ]


def check_and_audit(name: str) -> tuple[dict[str, list[dict[str, Any]]], str]:
    """The brief results of every submission by name, and the audit's report."""
    edition = courses.load(name)
    with Session() as session:
        solved = Submission.of(edition, edition.files)
        told = {f"{name}/solved": brief(graders.grade(edition, graders.collect(edition), solved, session))}
    verdicts = []
    for component, entry, results in audit.graded(edition):
        told[f"{name}/{component}/{entry.name}"] = brief(results)
        verdicts.append(audit.verdict(component, entry, results))
    return told, audit.report(edition, verdicts) + "\n"


def handout(edition: str) -> str:
    """Each file of a handout: sha256 and path."""
    files = assemble(courses.load(edition)).files
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(files.items()))


def lines(told: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """A line of JSON for each submission."""
    for name, rows in told.items():
        yield json.dumps({"submission": name, "components": rows}, ensure_ascii=False) + os.linesep


if __name__ == "__main__":
    everything, reports = {}, []
    for each in editions():
        (HERE / f"handout-{each}.txt").write_text(handout(each), encoding="utf-8")
        told, report = check_and_audit(each)
        everything |= told
        reports.append(report)
        print(report)
    CHECK.write_text("".join(lines(everything)), encoding="utf-8")
    (HERE / "audit.txt").write_text("\n".join(reports), encoding="utf-8")
