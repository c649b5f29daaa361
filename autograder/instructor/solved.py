"""The solved tree as text: a course's student files with their fences, a notebook's graded cells among them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from autograder import editions
from autograder.editions import Edition
from autograder.instructor.regions import looks_like_fence
from autograder.intake import notebooks
from llamalab.errors import UserError


def sources(edition: Edition) -> dict[str, str]:
    """Every file of an edition's course that has solutions in it, or a fence that is none, by name."""
    every = editions.of_course(edition.course)
    names = {name for each in every for name in (*each.student_paths(edition.files), *each.provided_files)}
    found = {name: text(path) for name in sorted(names) if (path := edition.files / name).is_file()}
    return {name: code for name, code in found.items() if name in edition.student_files or _has_fences(code)}


@cache
def _has_fences(code: str) -> bool:
    return any(map(looks_like_fence, code.splitlines()))


def text(path: Path) -> str:
    """The code of a file: of a notebook, that of its graded cells.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return _text(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} belongs to a course and cannot be read: {error}") from error


@cache  # a bank asks for the same files hundreds of times
def _text(path: Path, changed: int) -> str:
    data = path.read_bytes()
    return notebooks.code_of(data) if path.suffix == ".ipynb" else data.decode("utf-8")


def with_text(data: bytes, name: str, code: str) -> bytes:
    """A file's bytes with other code in it."""
    return notebooks.with_code(data, code) if name.endswith(".ipynb") else code.encode("utf-8")
