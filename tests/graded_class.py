"""A class to grade, in plain isolation and on stored inputs for speed: `tests/e2e/test_grade_class.py` has others."""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autograder import editions, trust
from autograder.classroom import batch, inputs, isolation, marking
from autograder.classroom.gradebook import Gradebook
from autograder.engine import graders, references
from autograder.engine.claims import Answer, Fault, Limits
from autograder.engine.session import Session
from autograder.intake.submission import Submission
from tests.small_course import ROPE, a_course

SMALL = ROPE.format(points=12)
RIGHT = (editions.load("mmia").files / "rope.py").read_text("utf-8")
WRONG = ("pairs * turns", "pairs * turns.conj()")


@pytest.fixture(scope="module")
def worker():
    """The one worker of these tests: starting it takes longer than any of them."""
    with Session(Limits(seconds=5)) as session:
        yield session


class Borrowed:
    """A session that outlives its class, and remembers what the worker answered to the same code and inputs."""

    answers: dict[tuple, list[Answer | Fault]] = {}

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Borrowed:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def calls(
        self, submission: Submission, component: str, cases: Sequence[Mapping[str, Any]], *more: Any
    ) -> list[Answer | Fault]:
        key = (tuple(submission.files.items()), component, repr(cases), repr(more))
        if key not in self.answers:
            self.answers[key] = self._session.calls(submission, component, cases, *more)
        return self.answers[key]

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def collected():
    """The graders of ``rope``, collected once."""
    edition = editions.load("mmia")
    return graders.collect(edition, edition.chosen(["rope"]))


@pytest.fixture
def folder(tmp_path, monkeypatch, worker, collected) -> Path:
    """Holds ``submissions/`` with one that is right; its course, ``small``, has one component."""
    a_course(tmp_path / "courses" / "mini_llama", SMALL)
    monkeypatch.setattr(trust, "COURSES", tmp_path / "courses")
    monkeypatch.setattr(isolation, "session", lambda *_: Borrowed(worker))
    monkeypatch.setattr(inputs, "fresh", lambda edition, seed: partial(references.load, edition))
    monkeypatch.setattr(graders, "collect", lambda edition: collected)
    monkeypatch.setattr(marking.grader_hash, "of", lambda edition: "g" * 64)
    monkeypatch.chdir(tmp_path)
    hand_in("ada")
    return tmp_path


def hand_in(student: str, *change: str) -> None:
    text = RIGHT
    if change:
        assert change[0] in text
    Path("submissions", student).mkdir(parents=True, exist_ok=True)
    Path("submissions", student, "rope.py").write_text(text.replace(*change) if change else text)


def grade(**changed) -> int:
    given = {
        "edition": "small",
        "submissions": Path("submissions"),
        "out": Path("results"),
        "workers": 1,
        "seed": None,
        "regrade": False,
        "isolation": "process",
        "seconds": 5.0,
        "memory": 1024,
    }
    return batch.run(argparse.Namespace(**{**given, **changed}))


def records() -> dict:
    with Gradebook(Path("results/gradebook.sqlite")) as book:
        return {record.slug: record for record in book.records()}


def written(slug: str) -> dict:
    return json.loads(Path(f"results/json/{slug}.json").read_text())


def history() -> list[tuple]:
    database = sqlite3.connect("results/gradebook.sqlite")
    try:
        return database.execute("SELECT slug, earned, seed FROM history").fetchall()
    finally:
        database.close()
