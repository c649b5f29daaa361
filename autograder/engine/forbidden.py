"""Imports and calls that an edition forbids. The submission is read, never run."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from functools import lru_cache

from autograder.editions import Component, Edition
from autograder.intake.submission import Submission

Mention = tuple[int, str]  # line, name


def uses(edition: Edition, component: Component, modules: Collection[str], submission: Submission) -> tuple[str, ...]:
    """Every forbidden use in the files that a component runs, as ``llama.py:3  imports transformers``."""
    if not edition.forbidden_imports and not component.forbidden_calls:
        return ()
    files = [file for module, file in submission.student.items() if module in modules and file in submission.files]
    return tuple(
        f"{file}:{line}  {words}"
        for file in files
        for line, words in _uses_in(submission.files[file], edition, component)
    )


def _uses_in(source: bytes, edition: Edition, component: Component) -> Iterator[tuple[int, str]]:
    try:
        imports, names = _mentions(source)
    except (RecursionError, MemoryError):  # Python may yet run it, once the submission has raised its limits
        yield 1, "is nested too deeply to be read"
        return
    for line, name in imports:
        if name in edition.forbidden_imports:
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
