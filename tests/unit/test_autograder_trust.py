"""Who sees what: a folder's place decides, for the sandbox, for a handout, and for what a mark depends on."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from autograder import editions, trust
from autograder.classroom import grader_hash
from autograder.editions import Edition
from tests.written_course import course

EDITIONS = editions.names()
INSTRUCTORS = ("instructor", "classroom", "cases.py", "oracle.py", "mistakes.py", "alternatives.py")


def files_below(shown: trust.Files) -> set[str]:
    """Every file of what is shown, of folders too, by its place in the copy."""
    found = set()
    for name, path in shown.items():
        below = path.rglob("*") if path.is_dir() else ()
        found |= {f"{name}/{each.relative_to(path).as_posix()}" for each in below if each.is_file()} or {name}
    return {name for name in found if "__pycache__" not in name}


@pytest.mark.parametrize("name", EDITIONS)
def test_a_sandbox_shows_nothing_of_an_instructor_and_no_answer(name):
    shown = files_below(trust.of_worker(editions.load(name)))
    assert not [file for file in shown if any(part in INSTRUCTORS for part in Path(file).parts)]
    assert not [file for file in shown if file.endswith((".safetensors", ".toml")) and file.startswith("courses/")]
    assert not [file for file in shown if Path(file).name.startswith("test_")]
    assert not [file for file in shown if file.startswith(("llamalab/fast", "autograder/engine", "autograder/answers"))]


@pytest.mark.parametrize("name", EDITIONS)
def test_a_sandbox_shows_no_file_with_a_solution(name):
    edition = editions.load(name)
    shown = trust.of_worker(edition)
    assert not shown.keys() & set(edition.student_files)
    solved = {(edition.files / file).resolve() for file in edition.student_files}
    provided = {path.resolve() for file, path in shown.items() if file.startswith("provided/")}
    assert not solved & {path.resolve() for path in shown.values()}
    assert provided == {(edition.files / file).resolve() for file in edition.provided_files}


@pytest.mark.parametrize("name", EDITIONS)
def test_a_sandbox_shows_what_a_worker_needs(name):
    edition = editions.load(name)
    shown = files_below(trust.of_worker(edition))
    adapters = {trust.below(edition, edition.component_folder / part / "adapter.py") for part in edition.components}
    assert adapters <= shown and "autograder/worker/main.py" in shown and trust.RUNTIME in shown


@pytest.mark.parametrize("name", EDITIONS)
def test_a_handout_has_nothing_of_an_instructor(name):
    edition = editions.load(name)
    files = trust.of_handout(edition)
    assert not [file for file in files if any(part in INSTRUCTORS for part in Path(file).parts)]
    assert not [file for file in files if file.startswith("llamalab/fast")]
    others = {part for each in EDITIONS for part in editions.load(each).components} - edition.components.keys()
    assert not [file for file in files if any(part in Path(file).parts for part in others)]
    assert all(path.is_file() for path in files.values())
    for part in edition.components:
        folder = f"courses/mini_llama/components/{part}"
        assert {
            f"{folder}/adapter.py",
            f"{folder}/references.safetensors",
            f"tests/graders/test_{part}.py",
        } <= files.keys()


# --- what a mark depends on --------------------------------------------------------------------------------------

EDITION = """
student_files = ["work.py"]
provided_files = ["given.py"]
[components.part]
points = 10
"""
CODE = (
    "__init__.py",
    "editions.py",
    "trust.py",
    *("answers/plain.py", "engine/session.py", "worker/call.py", "intake/zips.py", "instructor/audit.py"),
    *("classroom/batch.py", "classroom/reports/pages.py", "classroom/reports/style.css"),
)
PARTS = ("adapter", "cases", "oracle", "test_part", "mistakes", "alternatives")


@pytest.fixture
def project(tmp_path, monkeypatch) -> Edition:
    """A project of a few files, one of each kind."""
    for name in CODE:
        (tmp_path / "autograder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "autograder" / name).write_text(name)
    (tmp_path / "llamalab/evaluation").mkdir(parents=True)
    (tmp_path / "llamalab/evaluation/plots.py").write_text("plots")
    small = tmp_path / "courses/small"
    edition = course(small, EDITION, **dict.fromkeys(PARTS, "right = 1\n"))
    (small / "components/part/references.safetensors").write_bytes(b"references")
    for folder in ("_shared/adapters", "_shared"):
        (small / "components" / folder).mkdir(parents=True, exist_ok=True)
        (small / "components" / folder / "common.py").write_text("common")
    (small / "components/other").mkdir()
    for path in (small / "components/other/adapter.py", small / "given.py", small / "work.py", small / "yours.toml"):
        path.write_text("other")
    for name in ("CODE", "PROJECT"):
        monkeypatch.setattr(trust, name, tmp_path)
    monkeypatch.setattr(trust, "COURSES", tmp_path / "courses")
    return edition


@contextmanager
def changed(path: Path):
    before = path.read_bytes()
    path.write_bytes(before + b"\n# changed")
    yield
    path.write_bytes(before)


@pytest.mark.parametrize(
    "file",
    [
        "autograder/engine/session.py",
        "autograder/worker/call.py",
        "autograder/answers/plain.py",
        "autograder/editions.py",
        "courses/small/components/part/adapter.py",
        "courses/small/components/part/test_part.py",
        "courses/small/components/part/cases.py",
        "courses/small/components/part/oracle.py",
        "courses/small/components/part/references.safetensors",
        "courses/small/components/_shared/common.py",
        "courses/small/components/_shared/adapters/common.py",
        "courses/small/mine.toml",
        "courses/small/given.py",
    ],
)
def test_what_decides_marks_is_part_of_the_graders_hash(project, tmp_path, file):
    before = grader_hash.of(project)
    with changed(tmp_path / file):
        assert grader_hash.of(project) != before
    assert grader_hash.of(project) == before


@pytest.mark.parametrize(
    "file",
    [
        "autograder/classroom/batch.py",
        "autograder/classroom/reports/pages.py",
        "autograder/classroom/reports/style.css",
        "autograder/instructor/audit.py",
        "llamalab/evaluation/plots.py",
        "courses/small/components/part/mistakes.py",
        "courses/small/components/part/alternatives.py",
        "courses/small/components/other/adapter.py",
        "courses/small/yours.toml",
        "courses/small/work.py",
    ],
)
def test_what_decides_no_marks_is_not(project, tmp_path, file):
    before = grader_hash.of(project)
    with changed(tmp_path / file):
        assert grader_hash.of(project) == before


@pytest.mark.parametrize("name", EDITIONS)
def test_provided_files_run_nothing_of_the_runtime_when_they_are_imported(name):
    """So that nothing of it can change a mark; what it would be for, vocabularies and checkpoints, no sandbox has."""
    edition = editions.load(name)
    modules = [Path(file).stem for file in edition.provided_files]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *modules], cwd=edition.files, capture_output=True, text=True)
    loaded = done.stdout.split()
    assert modules and set(modules) <= set(loaded), done.stderr
    assert [module for module in loaded if module.startswith("llamalab.")] == []


def test_a_new_file_of_the_engine_or_of_a_component_counts(project, tmp_path):
    before = grader_hash.of(project)
    (tmp_path / "autograder/engine/new.py").write_text("")
    with_engine = grader_hash.of(project)
    (tmp_path / "courses/small/components/part/helper.py").write_text("")
    assert len({before, with_engine, grader_hash.of(project)}) == 3
