"""A submission: the student's files as bytes in memory, to be hashed, graded and compared as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from autograder.editions import Edition
from autograder.intake import notebooks
from llamalab.errors import UserError

LARGEST = 256 << 10  # bytes of a source file
NOTEBOOK = ".ipynb"


@dataclass(frozen=True)
class Submission:
    """What a student handed in, as an edition sees it.

    Args:
        files: the code of each student file that is there, by name; of a notebook, that of its graded cells.
        ignored: the other files, safe to show.
    """

    edition: Edition
    files: Mapping[str, bytes]
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, edition: Edition, folder: Path) -> Submission:
        """The submission in a folder of one's own, whose files lie where the edition says.

        Raises:
            UserError: none of the student's files is there, or one cannot be read or is too large.
        """
        folder = Path(folder).resolve()
        files = {name: _read(path) for name, path in edition.student_paths(folder).items() if path.is_file()}
        if not files:
            names = ", ".join((*edition.student_files, *edition.student_tree))
            raise UserError(f"{folder} has none of the files of a submission ({names}); name the folder that has them")
        return cls(edition, files)

    @cached_property
    def sha256(self) -> str:
        """Of the files; the same whether they came as a folder or in an archive."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(f"{name}\0{len(self.files[name])}\0".encode())
            digest.update(self.files[name])
        return digest.hexdigest()

    @cached_property
    def student(self) -> dict[str, str]:
        """File of each module that a student writes; a missing one is found out when it is imported."""
        return {module_of(name): name for name in (*self.edition.student_files, *self.files)}

    @cached_property
    def sources(self) -> dict[str, bytes]:
        """The code of each module that is there."""
        return {module_of(name): data for name, data in self.files.items()}


def module_of(file: str) -> str:
    """``rope`` of ``rope.py``, ``basics.model`` of ``basics/model.py``, ``basics`` of ``basics/__init__.py``."""
    path = PurePosixPath(file).with_suffix("")
    return ".".join(path.parent.parts if path.name == "__init__" else path.parts)


def largest(file: str) -> int:
    """Bytes that a student's file may have."""
    return notebooks.LARGEST if file.endswith(NOTEBOOK) else LARGEST


def code_of(file: str, data: bytes) -> bytes:
    """The code of a student's file: of a notebook, that of its graded cells.

    Raises:
        notebooks.NotANotebook: it is called a notebook and is none.
    """
    if not file.endswith(NOTEBOOK):
        return data
    code = notebooks.code_of(data).encode("utf-8", "surrogatepass")
    if len(code) > LARGEST:
        raise notebooks.NotANotebook(f"{file} has {len(code):,} bytes of code; at most {LARGEST:,} are read")
    return code


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > largest(path.name):
            raise UserError(f"{path} has {size:,} bytes; a source file may have {largest(path.name):,}")
        return code_of(path.name, path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except notebooks.NotANotebook as error:
        raise UserError(f"{path}: {error}") from error
