"""A small course, for tests that grade with the components of the real one."""

from __future__ import annotations

from pathlib import Path

from autograder import editions

REAL = editions.load("mmia")
ROPE = f"""
files = "{REAL.files.as_posix()}"
student_files = ["rope.py"]
provided_files = ["config.py", "base_llama.py", "tokenizer.py", "utils.py"]
[components.rope]
points = {{points}}
regions = ["rope", "rope_frequencies"]
"""


def a_course(folder: Path, edition: str, name: str = "small") -> Path:
    """Make a course with the components and texts of the real one, and one edition; returns the edition's path."""
    folder.mkdir(parents=True)
    for part in ("components", "handout"):
        (folder / part).symlink_to(REAL.course / part)
    (folder / f"{name}.toml").write_text(edition)
    return folder / f"{name}.toml"
