"""Submissions as the earlier courses had them drop in: no sampling.py, no masks, no cache, full attention."""

from __future__ import annotations

import shutil
from pathlib import Path

from autograder import editions
from autograder.engine import graders
from autograder.engine.session import Session
from autograder.intake.submission import Submission

COURSES = Path(__file__).resolve().parents[1] / "fixtures/old_course"


def test_an_earlier_courses_submission_gets_full_marks(tmp_path):
    with Session() as session:
        for name in ("minillama", "mmia"):
            folder = shutil.copytree(COURSES / "provided", tmp_path / name)
            shutil.copytree(COURSES / name, folder, dirs_exist_ok=True)
            edition = editions.load(name)
            tests = graders.collect(edition)
            results = graders.grade(edition, tests, Submission.of(edition, folder), session)
            assert {row.name: row.state for row in results.components} == dict.fromkeys(edition.components, "ok")
