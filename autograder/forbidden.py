"""Imports and calls that a track forbids. The submission is read, never run."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

from autograder.submissions import LARGEST, Submission
from autograder.tracks import Component, Track


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
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        else:
            imported = []
        for name in imported:
            if name.split(".")[0] in track.forbidden_imports:
                yield node.lineno, f"imports {name.split('.')[0]}, which this course does not allow"
        if isinstance(node, (ast.Name, ast.Attribute)):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in component.forbidden_calls:
                yield node.lineno, f"uses {name}, which {component.name} is to be written without"


def _nodes(path: Path) -> list[ast.AST]:
    """The syntax tree's nodes; none for a file that does not parse, which its import will report."""
    try:
        if path.stat().st_size > LARGEST:
            return []
        return list(ast.walk(ast.parse(path.read_bytes())))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return []
