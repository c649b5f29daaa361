"""Imports and calls that a track forbids. The submission is read, never run."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path

from autograder.submissions import LARGEST, Submission
from autograder.tracks import Component, Track

Mention = tuple[int, str]  # line, name


def uses(track: Track, component: Component, modules: Collection[str], submission: Submission) -> tuple[str, ...]:
    """Every forbidden use in the files that a component runs, as ``llama.py:3  imports transformers``."""
    if not track.forbidden_imports and not component.forbidden_calls:
        return ()
    found = []
    for module in modules:
        if module in submission.student:
            path = submission.student[module]
            found += [f"{path.name}:{line}  {words}" for line, words in _uses_in(path, track, component)]
    return tuple(found)


def _uses_in(path: Path, track: Track, component: Component) -> Iterator[tuple[int, str]]:
    try:
        if path.stat().st_size > LARGEST:
            return
        imports, names = _mentions(path.read_bytes())
    except OSError:
        return
    except (RecursionError, MemoryError):  # Python may yet run it, once the submission has raised its limits
        yield 1, "is nested too deeply to be read"
        return
    for line, name in imports:
        if name in track.forbidden_imports:
            yield line, f"imports {name}, which this course does not allow"
    for line, name in names:
        if name in component.forbidden_calls:
            yield line, f"uses {name}, which {component.name} is to be written without"


@lru_cache(maxsize=32)
def _mentions(source: bytes) -> tuple[tuple[Mention, ...], tuple[Mention, ...]]:
    """The modules that a text imports and the names that it uses; none if it does not parse: its import will say so."""
    imports, names = [], []
    try:
        nodes = ast.walk(ast.parse(source))
    except (ValueError, SyntaxError):
        return (), ()
    for node in nodes:
        if isinstance(node, ast.Import):
            imports += [(node.lineno, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.lineno, (node.module or "").split(".")[0]))
        elif isinstance(node, ast.Name):
            names.append((node.lineno, node.id))
        elif isinstance(node, ast.Attribute):
            names.append((node.lineno, node.attr))
    return tuple(imports), tuple(names)
