"""Whose classes this process runs: the one place that knows which folder's student files are in use.

One process runs one course. Its folder is the project's root, where the student files of a handout lie and, in the
repository, those of the course whose editions say ``files = "../.."``; a command of another course names its own
folder with ``use``. The rest of ``llamalab`` imports no student file. It asks here, when it needs one:

    course.get("lora").apply_lora(model, rank, alpha)
    course.model("llama").from_weights(config, weights)

so that every module of ``llamalab`` can be imported where there are no student files at all.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from llamalab import places
from llamalab.errors import UserError

_folder: Path | None = None  # once it is known


def use(path: str | Path) -> None:
    """Run the student files of this folder from now on; a command calls it first, with its course's folder.

    Raises:
        RuntimeError: this process runs those of another folder already.
    """
    global _folder
    path = Path(path).resolve()
    if _folder not in (None, path):
        raise RuntimeError(f"this process runs the course in {_folder}; start another for the one in {path}")
    if _folder is None:
        _folder = path
        sys.path.insert(0, str(path))  # the course's modules import each other by flat names


def folder() -> Path:
    """The folder of the student files in use."""
    if _folder is None:
        use(places.root())
    return _folder


def get(name: str) -> ModuleType:
    """A module of the course, such as ``get("rope")``. A student file and a provided one are asked for alike.

    Raises:
        ModuleNotFoundError: this course has no such module.
    """
    folder()
    return importlib.import_module(name)


def model(architecture: str) -> type:
    """The class that runs checkpoints of an architecture, as the ``[models]`` of the course's editions name it.

    Raises:
        UserError: this course has none.
    """
    named = {key: name for edition in _editions() for key, name in edition.get("models", {}).items()}
    if architecture not in named:
        has = f"it has one for {', '.join(named)}" if named else "no edition of it names one under [models]"
        raise UserError(f"this course has no model class for checkpoints of {architecture}; {has}")
    module, _, name = named[architecture].rpartition(".")
    return getattr(get(module), name)


def _editions() -> Iterator[dict[str, Any]]:
    """The editions of the course in use. In a handout that is every edition: its student files are at the top."""
    everything = (places.root() / ".handout").exists()
    for path in sorted((places.root() / "courses").glob("*/*.toml")):
        edition = tomllib.loads(path.read_text("utf-8"))
        if everything or (path.parent / edition.get("files", ".")).resolve() == folder():
            yield edition
