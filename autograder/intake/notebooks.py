"""Jupyter notebooks as files of code: the cells that are tagged ``graded``, one below the other, and nothing else.

A notebook is JSON and is read as that, within limits; no Jupyter is needed, and outputs and other cells are not looked
at. Each cell begins with a line ``# %% cell N``, so that errors and fences have a place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

TAG = "graded"
LARGEST = 8 << 20  # bytes of a notebook; outputs may be long
MOST_CELLS = 2_000
CELL = re.compile(r"^# %% cell (\d+)\n", re.MULTILINE)
MAGIC = re.compile(r"^([ \t]*)(%%?[A-Za-z].*|!(?!=).*)$", re.MULTILINE)  # Python has "% x" and "!="


class NotANotebook(ValueError):
    """Bytes that are no notebook, or one without graded cells; the message says what is wrong."""


def code_of(data: bytes) -> str:
    """The code of a notebook's graded cells. Lines of Jupyter's own language, ``%`` and ``!``, become comments.

    Raises:
        NotANotebook: it is none, is too large, or has no graded cell.
    """
    cells = [(number, _source(cell)) for number, cell in _graded(_parsed(data))]
    if not cells:
        raise NotANotebook(f"no code cell has the tag {TAG!r}; start from the notebook that was handed out")
    return "".join(f"# %% cell {number}\n{MAGIC.sub(_comment, text).rstrip()}\n\n" for number, text in cells)


def with_code(data: bytes, code: str) -> bytes:
    """A notebook whose graded cells have the given code, in the form that ``code_of`` gives. Outputs are left out.

    Raises:
        NotANotebook: as ``code_of``, or the code has other cells than the notebook.
    """
    notebook = _parsed(data)
    numbers, texts = [], CELL.split(code)[1:]
    new = {int(number): text.rstrip() for number, text in zip(texts[::2], texts[1::2], strict=True)}
    for number, cell in _graded(notebook):
        numbers.append(number)
        if number in new:
            cell["source"] = new[number].splitlines(keepends=True)
    if sorted(new) != numbers:
        raise NotANotebook(f"the graded cells are {numbers}, not {sorted(new)}")
    for cell in notebook["cells"]:
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def _parsed(data: bytes) -> dict[str, Any]:
    if len(data) > LARGEST:
        raise NotANotebook(f"a notebook of {len(data):,} bytes; at most {LARGEST:,} are read. Clear its outputs")
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotANotebook(f"not a notebook: {type(error).__name__}: {str(error)[:100]}") from error
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise NotANotebook("not a notebook of version 4: it has no list of cells")
    if len(cells) > MOST_CELLS:
        raise NotANotebook(f"{len(cells):,} cells; at most {MOST_CELLS:,} are read")
    return notebook


def _graded(notebook: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and cell, of each that is tagged."""
    for number, cell in enumerate(notebook["cells"]):
        metadata = cell.get("metadata")
        tags = metadata.get("tags") if isinstance(metadata, dict) else None
        if cell.get("cell_type") == "code" and isinstance(tags, list) and TAG in tags:
            yield number, cell


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise NotANotebook("a code cell's source is neither text nor lines of text")
    return source


def _comment(match: re.Match) -> str:
    return f"{match[1]}pass  # {match[2]}"
