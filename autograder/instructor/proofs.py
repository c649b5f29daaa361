"""What every release proves of the folder that it has written, before anybody sees it.

- It holds the files of the handout and no others: no git history, compiled file or instructor's file.
- No fence is left, and no line of a solution that is the student's to write is anywhere in it.
- Every module imports.
- Every component that gives points is to do, and the score is 0.
- With the solutions put back into the TODOs, every component gets full marks, and the edition's commands run.

Student code runs only in a copy, so that nothing compiled is left in what is handed out.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autograder.editions import Edition
from autograder.engine.results import Results
from autograder.instructor import regions
from autograder.instructor.handout import Handout, Todo
from llamalab.errors import UserError

# This project may be installed in editable mode, and then lends its modules to whoever looks for one of their names.
IMPORTING = """
import importlib, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for name, module in list(sys.modules.items()):
    file = getattr(module, "__file__", None)
    if file and name.split(".")[0] in ("llamalab", "autograder") and not file.startswith(os.getcwd() + os.sep):
        raise ImportError(f"{name} is not in the handout, and was found in {file}")
"""
TELLING = 20  # characters without spaces; shorter lines, such as `if mask is not None:`, belong to nobody
SECONDS = 600


def prove(folder: Path, handout: Handout) -> Results:
    """Prove all of it; returns the marks with the solutions put back.

    Raises:
        UserError: something does not hold, with its place.
    """
    holds_what_was_meant(folder, handout)
    gives_nothing_away(folder, handout)
    with tempfile.TemporaryDirectory(prefix="llamalab-proof-") as temporary:
        copy = Path(temporary, "handout")
        shutil.copytree(folder, copy)
        imports(copy, handout)
        is_all_to_do(copy)
        results = is_right_when_solved(copy, handout)
        runs(copy, handout.edition)
        return results


def holds_what_was_meant(folder: Path, handout: Handout) -> None:
    """The folder has the handout's files, byte for byte, and nothing else."""
    written = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    for name in sorted(written.keys() ^ handout.files.keys()):
        raise UserError(f"{name} {'should not be' if name in written else 'is missing'} in the handout")
    for name, path in written.items():
        if path.is_symlink() or path.read_bytes() != handout.files[name]:
            raise UserError(f"{name} was not written as it was meant")
        if "instructor" in Path(name).parts:
            raise UserError(f"{name} is the instructor's and must not ship; see autograder/trust.py")


def gives_nothing_away(folder: Path, handout: Handout) -> None:
    """No fence, and no line of a solution that is the student's to write."""
    secrets = [(todo, line, bare) for todo in handout.todos.values() for line, bare in telling_lines(todo)]
    for name in handout.files:
        text = _text(folder / name)
        bare_text = _bare(text)
        for todo, line, bare in secrets:
            if bare in bare_text:
                raise UserError(
                    f"{_where(name, text, bare)}: has a line of the solution {todo.region.name} "
                    f"({todo.region.file}:{line}); take it out, or leave the file out of handouts"
                )
        for number, line in enumerate(text.splitlines(), 1):
            if name.endswith(".py") and regions.looks_like_fence(line):
                raise UserError(f"{name}:{number}: a fence is left: {line.strip()!r}")


def _text(path: Path) -> str:
    """All text of a file; of a notebook, that of every cell, as its reader sees it."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) + json.dumps(cell.get("outputs", [])) for cell in cells)


def telling_lines(todo: Todo) -> Iterator[tuple[int, str]]:
    """The lines of a solution that nobody writes by chance, each with its number in the solved tree.

    Spaces, the comment behind a line and a leading ``return`` do not count: ``return  f(x + 1)  # why`` is ``f(x+1)``.
    """
    for offset, line in enumerate(todo.region.solution.splitlines()):
        bare = _bare(re.sub(r"^\s*return\b", "", line.partition("  #")[0]))
        if len(bare) >= TELLING:
            yield todo.region.first + 2 + offset, bare


def imports(folder: Path, handout: Handout) -> None:
    """Every module of the handout can be imported. ``folder`` is a copy that may be written to."""
    modules = [
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in handout.files
        if path.endswith(".py") and not path.startswith("tests/") and not path.endswith(("__main__.py", "setup.py"))
    ]
    done = _python(folder, "-c", IMPORTING, *modules)
    if done.returncode:
        raise UserError(f"the handout does not import: {_last_line(done)}")


def is_all_to_do(folder: Path) -> None:
    """Every component that gives points reports todo, and the score is 0."""
    results = graded(folder)
    for row in results.components:
        passed = [test.name for test in row.tests if test.outcome == "pass"]
        if row.points and (row.state != "todo" or passed):
            which = f", and passes {passed[0]}" if passed else ""
            raise UserError(f"{row.name} is {row.state} in the fresh handout{which}; it should be todo")


def is_right_when_solved(folder: Path, handout: Handout) -> Results:
    """With every TODO solved, every component gets full marks."""
    for region in handout.todos:
        handout.solve(folder, region)
    results = graded(folder)
    for row in results.components:
        if row.state != "ok":
            why = next((f": {test.name}: {test.message}" for test in row.tests if test.message), "")
            raise UserError(f"{row.name} is {row.state} with the solutions put back{why}")
    return results


def runs(folder: Path, edition: Edition) -> None:
    """The edition's own commands run, with the solutions put back."""
    for command in edition.smoke:
        done = _python(folder, *shlex.split(command))
        if done.returncode:
            raise UserError(f"`python {command}` does not run in the solved handout: {_last_line(done)}")


def graded(folder: Path) -> Results:
    """What a student sees: the handout's own ``check``.

    Raises:
        UserError: it does not run.
    """
    done = _python(folder, "-m", "autograder", "check", "--json", "check.json")
    if done.returncode not in (0, 1) or not (folder / "check.json").is_file():
        raise UserError(f"`python -m autograder check` does not run in the handout: {_last_line(done)}")
    return Results.from_dict(json.loads((folder / "check.json").read_text("utf-8")))


def _python(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Python in the handout, which must not find a module anywhere else than there."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    command = [sys.executable, *arguments]
    try:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"the handout has not answered for {SECONDS} s: python {' '.join(arguments)}"[:300]) from error


def _last_line(done: subprocess.CompletedProcess) -> str:
    return (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]


def _bare(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _where(name: str, text: str, bare: str) -> str:
    """``models.py:12``; only the file where what is looked for is spread over several lines."""
    numbers = (number for number, line in enumerate(text.splitlines(), 1) if bare in _bare(line))
    number = next(numbers, None)
    return f"{name}:{number}" if number else name
