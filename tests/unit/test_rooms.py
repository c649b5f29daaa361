"""The house's rules, held against the code: which room may use which, one name for one class, one idea a file."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder import trust

RULES = {  # room: what of the grader it may import
    "worker": {"worker"},
    "answers": {"answers", "worker"},
    "intake": {"intake", "editions", "trust"},
    "engine": {"engine", "answers", "worker", "intake", "editions", "trust"},
    "classroom": {"classroom", "instructor", "engine", "answers", "worker", "intake", "editions", "trust"},
    "instructor": {"instructor", "engine", "answers", "worker", "intake", "editions", "trust"},
}
LONGEST = 400  # lines of a file; more is probably two ideas


def modules(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((trust.CODE / folder).rglob("*.py")):
            if "project" not in path.relative_to(trust.CODE).parts:
                yield path, ast.parse(path.read_text("utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of all that a module imports, wherever it stands, with what it takes from packages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", RULES)
def test_a_room_imports_only_rooms_below_it(room):
    for path, tree in modules(f"autograder/{room}"):
        rooms = {name.split(".")[1] for name in imported(tree) if name.startswith("autograder.")}
        assert rooms <= RULES[room], path


def test_what_is_bound_into_the_sandbox_imports_neither_the_grader_nor_the_runtime():
    for path, tree in modules("autograder/worker"):
        names = {".".join(name.split(".")[:2]) for name in imported(tree)}
        assert not {
            name for name in names if name.startswith(("llamalab", "autograder.")) and name != "autograder.worker"
        }, path


def test_the_runtime_knows_no_grader_and_no_course():
    for path, tree in modules("llamalab"):
        assert not {name for name in imported(tree) if name.split(".")[0] in ("autograder", "courses")}, path


def test_no_two_public_classes_have_one_name():
    names = Counter(
        node.name
        for _, tree in modules("autograder", "llamalab")
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_no_file_has_more_than_one_idea():
    everything = modules("autograder", "llamalab", "courses", "tests", "benchmarks")
    files = [*(path for path, _ in everything), *trust.CODE.glob("*.py")]
    long = {path.name: count for path in files if (count := path.read_text("utf-8").count("\n")) > LONGEST}
    assert long == {}
