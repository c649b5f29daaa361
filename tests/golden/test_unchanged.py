"""Grading says what it said when it was recorded: ``record.py`` says how, ``moved.py`` what lies elsewhere now."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.golden import moved, record

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


def listed(text: str) -> dict[str, str]:
    """sha256 by path."""
    return {path: digest for digest, path in (line.split("  ") for line in text.splitlines())}


@pytest.mark.parametrize("edition", record.editions())
def test_a_handout_has_the_files_it_had(edition):
    """Each is where the table of moved paths says; what ships besides is the grader's or the runtime's."""
    before, found = listed((HERE / f"handout-{edition}.txt").read_text("utf-8")), listed(record.handout(edition))
    expected = {moved.now(path) for path in before} - {None}
    assert expected <= found.keys()
    assert [path for path in found.keys() - expected if not moved.ADDED.fullmatch(path)] == []


@pytest.mark.parametrize("edition", record.editions())
def test_a_courses_own_files_are_handed_out_as_they_were(edition):
    """Student, provided and data files, byte for byte, but for those whose change has a reason."""
    before, found = listed((HERE / f"handout-{edition}.txt").read_text("utf-8")), listed(record.handout(edition))
    own = {path for path in before if "/" not in path and path != ".handout"}
    assert {path for path in own if before[path] != found[path]} <= moved.CHANGED.keys()
