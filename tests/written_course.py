"""Courses of one component, written for a test: an adapter, what it asks, and a student's files."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from autograder import editions
from autograder.editions import Edition

EDITION = """
student_files = ["work.py"]
[components.part]
points = 10
"""


def course(folder: Path, edition: str = EDITION, **files: str) -> Edition:
    """An edition whose component ``part`` has these files: ``adapter``, ``cases``, ``oracle``, ``test_part``.

    Args:
        edition: its TOML; the student's files lie in the same folder.
    """
    (folder / "components/part").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"components/part/{name}.py").write_text(dedent(text), "utf-8")
    (folder / "mine.toml").write_text(edition, "utf-8")
    return editions.read(folder / "mine.toml")
