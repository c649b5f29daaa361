"""Who sees what. Trust is a folder or a file name, never a list kept by hand; whoever has to know it asks here.

| place                                                  | sandbox | handout | decides marks |
|--------------------------------------------------------|---------|---------|---------------|
| ``autograder/worker``                                  | yes     | yes     | yes           |
| ``autograder/answers``, ``engine``                     |         | yes     | yes           |
| ``autograder/intake``                                  |         | yes     |               |
| ``autograder/classroom``, ``instructor``               |         |         |               |
| ``llamalab`` but ``llamalab/fast``                     | yes     | yes     |               |
| a component's ``adapter.py``; ``_shared/adapters``     | yes     | yes     | yes           |
| its ``test_*.py``, ``references.safetensors``          |         | yes     | yes           |
| its ``cases.py``, ``oracle.py``; other shared files    |         |         | yes           |
| its ``mistakes.py``, ``alternatives.py``               |         |         |               |
| an edition's TOML                                      |         | yes     | yes           |
| provided files                                         | yes     | yes     | yes           |

``llamalab`` decides no marks although student code can import it. The engine takes words and errors from it. Provided
files import it only inside functions that open vocabularies and checkpoints, and a sandbox has none: nothing of it runs
while a component is graded. What a student's own file makes of it is that submission's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llamalab import places

if TYPE_CHECKING:
    from autograder.editions import Component, Edition

CODE, PROJECT = places.PACKAGES, places.root()  # the folders of the packages, and of everything else
COURSES = PROJECT / "courses"
HANDOUT = PROJECT / ".handout"  # lists a handout's files; only a handout has it

WORKER = "autograder/worker"
HANDED_OUT = ("autograder/*.py", "autograder/worker", "autograder/answers", "autograder/engine", "autograder/intake")
DECIDING = ("autograder/editions.py", "autograder/worker", "autograder/answers", "autograder/engine")
SHARED, ADAPTERS = "_shared", "adapters"
ADAPTER, REFERENCES = "adapter.py", "references.safetensors"
BANKS = ("mistakes.py", "alternatives.py")
RUNTIME = "llamalab/__init__.py"
FAST = "fast"  # of llamalab: everything that holds a student's part, solved
GENERATED = ("__pycache__",)

Files = dict[str, Path]  # where a file is to lie, below the folder of somebody's copy -> where it lies here


def of_worker(edition: Edition) -> Files:
    """What a sandbox shows of this project: files and whole folders.

    The runtime, the student's process, adapters and provided files. Nothing in it holds what a student is to write.
    """
    shown = {WORKER: CODE / WORKER}
    shown |= {f"llamalab/{path.name}": path for path in (CODE / "llamalab").iterdir() if _is_shown(path)}
    shown |= {below(edition, path): path for path in _adapters(edition.component_folder)}
    return shown | {f"provided/{name}": edition.files / name for name in edition.provided_files}


def of_handout(edition: Edition) -> Files:
    """What a handout has of the grader, of the runtime and of its components, as they are."""
    code = [path for pattern in HANDED_OUT for path in _files(CODE, pattern)]
    found = {path.relative_to(CODE).as_posix(): path for path in (*code, *runtime())}
    for component in edition.components.values():
        found |= of_component(edition, component)
    found |= {below(edition, path): path for path in _files(edition.component_folder, f"{SHARED}/{ADAPTERS}")}
    return found | {"tests/graders/conftest.py": COURSES / "conftest.py", below(edition, edition.path): edition.path}


def of_component(edition: Edition, component: Component) -> Files:
    """What a handout has of one component; the files need not exist."""
    folder = edition.component_folder / component.name
    test = graders_of(edition, component.name)
    kept = {below(edition, folder / name): folder / name for name in (ADAPTER, REFERENCES)}
    return {**kept, f"tests/graders/{test.name}": test}


def graders_of(edition: Edition, component: str) -> Path:
    """The file of a component's graders: beside its adapter, or where a handout has them."""
    beside = edition.component_folder / component / f"test_{component}.py"
    handed_out = PROJECT / "tests" / "graders" / beside.name
    return handed_out if not beside.is_file() and handed_out.is_file() else beside


def of_marks(edition: Edition) -> Files:
    """What decides marks: the engine, the worker, the components, the edition and the provided files; nothing else."""
    code = [path for pattern in DECIDING for path in _files(CODE, pattern) if path.suffix == ".py"]
    found = {path.relative_to(CODE).as_posix(): path for path in code}
    for name in (SHARED, *edition.components):
        for path in _files(edition.component_folder, name):
            if path.name not in BANKS:
                found[below(edition, path)] = path
    for name in edition.components:
        found[f"tests/graders/test_{name}.py"] = graders_of(edition, name)
    found[below(edition, edition.path)] = edition.path
    return found | {f"provided/{name}": edition.files / name for name in edition.provided_files}


def runtime() -> list[Path]:
    """The files of ``llamalab``, without ``llamalab/fast``."""
    return [path for path in _files(CODE, "llamalab") if _is_shown(CODE / path.relative_to(CODE).parts[1])]


def below(edition: Edition, path: Path) -> str:
    """Where a file of a course lies in every copy: ``courses/COURSE/...``."""
    return f"courses/{edition.course.name}/{path.relative_to(edition.course).as_posix()}"


def _is_shown(path: Path) -> bool:
    return path.name not in (FAST, "project", *GENERATED)


def _adapters(components: Path) -> Iterator[Path]:
    yield from components.glob(f"*/{ADAPTER}")
    if (components / SHARED / ADAPTERS).is_dir():
        yield components / SHARED / ADAPTERS


def _files(root: Path, pattern: str) -> list[Path]:
    """The files that a pattern finds, and those below the folders that it finds."""
    every = [p for top in sorted(root.glob(pattern)) for p in ([top] if top.is_file() else sorted(top.rglob("*")))]
    return [path for path in every if path.is_file() and not any(part in GENERATED for part in path.parts)]
