"""Grading says today what it said when it was recorded: ``record.py`` has how, and when that may change."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.golden import record

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[-+]\d+)?")


def words(message: str) -> str:
    """A message without its numbers, whose last digit is a processor's own."""
    return NUMBER.sub("#", message)


def told(lines: str) -> dict[str, list]:
    """What every submission was told, by its name, messages without their numbers."""
    found = {}
    for line in lines.splitlines():
        entry = json.loads(line)
        for row in entry["components"]:
            row["others"] = {name: [outcome, words(text)] for name, (outcome, text) in row["others"].items()}
        found[entry["submission"]] = entry["components"]
    return found


@pytest.mark.parametrize("edition", record.editions())
def test_every_submission_is_told_what_it_was_told(edition):
    """The solved tree, each known mistake and each unusual solution: marks, outcomes, words and names."""
    found, report = record.check_and_audit(edition)
    before = {
        name: rows for name, rows in told(record.CHECK.read_text("utf-8")).items() if name.split("/")[0] == edition
    }
    now = told("".join(record.lines(found)))
    assert now.keys() == before.keys()
    for name, rows in now.items():
        assert rows == before[name], name
    assert report in (HERE / "audit.txt").read_text("utf-8")


@pytest.mark.parametrize("edition", record.editions())
def test_a_handout_has_the_files_it_had(edition):
    assert record.handout(edition) == (HERE / f"handout-{edition}.txt").read_text("utf-8")
