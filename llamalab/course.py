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

MODELS = {"llama": "llama.Llama"}  # for a course whose editions name none

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
    """The class that runs checkpoints of an architecture, as the ``[models]`` of the course's edition name it.

    Raises:
        UserError: this course has none.
    """
    named = next(filter(None, (edition.get("models") for edition in _editions())), MODELS)
    if architecture not in named:
        raise UserError(f"this course runs checkpoints of {', '.join(named)}, not of {architecture}")
    module, _, name = named[architecture].rpartition(".")
    return getattr(get(module), name)


def _editions() -> Iterator[dict[str, Any]]:
    """The editions of the course in use. In a handout that is every edition: its student files are at the top."""
    everything = (places.root() / ".handout").exists()
    for path in sorted((places.root() / "courses").glob("*/*.toml")):
        edition = tomllib.loads(path.read_text("utf-8"))
        if everything or (path.parent / edition.get("files", ".")).resolve() == folder():
            yield edition
