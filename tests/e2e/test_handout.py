"""A handout, from the instructor's command to a student's full marks, for every edition."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from autograder import editions
from autograder.engine import graders
from autograder.engine.session import Session
from autograder.instructor import proofs, release
from autograder.instructor.handout import Handout, assemble
from autograder.intake.submission import Submission
from autograder.trust import CODE
from llamalab.errors import UserError
from tests.small_course import REAL, a_course


def python(folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


EDITIONS = [pytest.param(name, marks=[] if name == "mmia" else [pytest.mark.slow]) for name in editions.names()]


@pytest.fixture(scope="module", params=EDITIONS)
def released(request, tmp_path_factory) -> tuple[Path, Handout]:
    """An edition's handout as its instructor gets it."""
    folder = tmp_path_factory.mktemp(request.param) / "handout"
    done = python(CODE, "-m", "autograder", "release", request.param, folder)
    assert done.returncode == 0, done.stderr
    points = sum(component.points for component in editions.load(request.param).components.values())
    assert f"the score is 0 of {points:g}, and {points:g} of {points:g} with the solutions put back" in done.stdout
    return folder, assemble(editions.load(request.param))


def test_the_folder_and_the_zip_lie_beside_each_other_and_nothing_else(released):
    folder, _ = released
    assert sorted(path.name for path in folder.parent.iterdir()) == ["handout", "handout.zip"]


def test_the_score_climbs_to_full_marks_as_regions_are_filled(released, tmp_path):
    folder, handout = shutil.copytree(released[0], tmp_path / "mine"), released[1]
    edition, rows, scores, filled = handout.edition, {}, [0.0], set()
    tests = graders.collect(edition)
    with Session() as session:
        for region in handout.todos:
            handout.solve(folder, region)
            filled.add(region)
            touched = {
                name: tests[name] for name, component in edition.components.items() if region in component.regions
            }
            results = graders.grade(edition, touched, Submission.of(edition, folder), session)
            rows |= {row.name: row for row in results.components}
            scores.append(sum(row.earned for row in rows.values()))
            for name in touched:
                assert rows[name].state == ("ok" if filled.issuperset(edition.components[name].regions) else "todo")
        assert scores == sorted(scores) and scores[-1] == sum(part.points for part in edition.components.values())


# --- a small handout, as its student sees it ---------------------------------------------------------------------


ROPE = f"""
files = "{REAL.files.as_posix()}"
student_files = ["rope.py"]
provided_files = [
    "config.py", "base_llama.py", "tokenizer.py", "utils.py", "llama.py", "sampling.py", "classifier.py", "lora.py",
    "optimizer.py",
]
command_files = ["run_llama.py", "sanity_check.py", "sanity_check.data"]
[components.rope]
points = 1
regions = ["rope", "rope_frequencies"]
"""


@pytest.fixture
def small(tmp_path) -> tuple[Path, Handout]:
    """A written handout with one component."""
    mine = a_course(tmp_path / "course", ROPE, "mine")
    regions = sorted({region for each in editions.of_course(REAL.course) for region in each.todo_regions})
    mine.with_name("rest.toml").write_text(f"also_todo = {regions}\n{ROPE}")  # the regions of the provided files
    handout = assemble(editions.read(mine))
    release.write(handout, tmp_path / "handout")
    return tmp_path / "handout", handout


def test_pytest_shows_what_is_to_do(small):
    done = python(small[0], "-m", "pytest", "tests/graders")
    assert done.returncode == 1 and "6 failed" in done.stdout
    assert done.stdout.count("\ntodo: rope.py:") == 6


def test_a_mistake_is_explained_to_its_student(small):
    folder, handout = small
    for region in handout.todos:
        handout.solve(folder, region)
    text = (folder / "rope.py").read_text()
    (folder / "rope.py").write_text(text.replace("pairs * turns", "pairs * turns.conj()"))
    done = python(folder, "-m", "autograder", "check")
    assert "FAIL" in done.stdout
    assert "matches: rotation by the negative angle. Check the sign" in done.stdout


def test_a_fast_precision_is_said_not_to_be_part_of_a_handout(small):
    done = python(small[0], "-c", "from llamalab.speed import fuse; fuse(None, 'int8')")
    assert "UserError: --dtype int8 is not part of this handout; leave it out" in done.stderr


# --- proofs that find something ----------------------------------------------------------------------------------


def test_a_module_that_does_not_import_stops_a_release(small):
    (small[0] / "autograder/__init__.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(UserError, match="does not import: ModuleNotFoundError: No module named 'nothing_of_this_name'"):
        proofs.imports(*small)


def test_a_component_that_is_not_to_do_stops_a_release(small):
    folder, handout = small
    for region in handout.todos:
        handout.solve(folder, region)
    with pytest.raises(UserError, match="rope is ok in the fresh handout, and passes test_queries_turn_by_their_pos"):
        proofs.is_all_to_do(folder)


def test_a_solution_that_is_wrong_stops_a_release(small):
    folder, handout = small
    todo = handout.todos["rope"]
    wrong = replace(todo, solution=todo.solution.replace("pairs * turns", "pairs"))
    with pytest.raises(UserError, match="rope is FAIL with the solutions put back: test_queries_turn.*: wrong from"):
        proofs.is_right_when_solved(folder, replace(handout, todos={**handout.todos, "rope": wrong}))
