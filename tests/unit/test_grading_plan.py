"""What a run has to do, and the hash that tells whether the grader is the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autograder import editions, trust
from autograder.classroom import grader_hash, plan, summary
from autograder.classroom.gradebook import Gradebook
from autograder.classroom.marking import opened
from autograder.classroom.records import Record
from autograder.editions import Edition
from autograder.intake import opening
from autograder.intake.opening import Found
from tests.unit.test_grading_gradebook import CONDITIONS, made


@pytest.fixture
def edition(tmp_path, monkeypatch) -> Edition:
    """Its submissions have one file; ``ada`` has handed in hers."""
    (tmp_path / "small.toml").write_text('student_files = ["rope.py"]\n[components.rope]\npoints = 12\n')
    monkeypatch.chdir(tmp_path)
    hand_in("ada")
    return editions.read(tmp_path / "small.toml")


def hand_in(student: str, text: str = "import torch\n") -> None:
    Path("submissions", student).mkdir(parents=True, exist_ok=True)
    Path("submissions", student, "rope.py").write_text(text)


def hash_of_hers(edition: Edition) -> str:
    return opened(Found("Ada", "ada", Path("submissions/ada")), edition).sha256


@pytest.fixture
def book(tmp_path):
    with Gradebook.of_edition(tmp_path / "gradebook.sqlite", "small") as book:
        yield book


@pytest.fixture
def planned(book, edition):
    """What is to do after a run with seed 7 that graded ``ada``, or ``more``: slugs, and whether that run goes on."""

    def planned(*more: Record, finished: bool = True, regrade_before: bool = False, **asked) -> tuple[list[str], bool]:
        found = opening.find(Path("submissions"))
        run = book.begin(CONDITIONS, 7, regrade_before)
        for record in more or (made(submission=hash_of_hers(edition)),):
            book.add(run, record)
        if finished:
            book.finish(run)
        wanted = {"conditions": CONDITIONS, "seed": None, "regrade": False, **asked}
        made_plan = plan.make(found, book, edition, **wanted)
        assert len(made_plan.todo) + made_plan.unchanged == len(found)
        return [each.slug for each in made_plan.todo], made_plan.run is not None

    return planned


def test_an_unchanged_submission_is_left_alone(planned):
    assert planned() == ([], False)
    assert planned(seed=7) == ([], False)


def test_new_and_changed_submissions_are_to_do(planned):
    hand_in("ada", "import numpy\n")
    hand_in("eve")
    assert planned(made(submission="0" * 64)) == (["ada", "eve"], False)


@pytest.mark.parametrize("change", [{"grader": "h" * 64}, {"isolation": "process"}, {"seconds": 9.0}, {"memory": 512}])
def test_a_result_made_under_other_conditions_is_made_anew(planned, change):
    assert planned(conditions=replace(CONDITIONS, **change)) == (["ada"], False)


def test_another_seed_counts_only_where_one_is_asked_for(planned):
    assert planned(seed=8) == (["ada"], False)


def test_what_failed_on_this_side_is_tried_again(planned, edition):
    assert planned(made(submission=hash_of_hers(edition), status="failed")) == (["ada"], False)


def test_students_without_a_submission_are_named(planned, book, edition):
    planned(made(), made("zoe", student="Zoe"))
    again = plan.make(opening.find(Path("submissions")), book, edition, CONDITIONS, None, False)
    assert again.gone == ("Zoe",)
    assert "no longer among the submissions: Zoe" in summary.gone(again.gone)


def test_a_run_that_was_cut_off_goes_on_with_what_is_left(planned):
    hand_in("bob")
    assert planned(finished=False) == (["bob"], True)


def test_a_run_that_was_cut_off_does_not_go_on_under_other_conditions_or_with_another_seed(planned):
    assert planned(finished=False, seed=8) == (["ada"], False)
    assert planned(finished=False, conditions=replace(CONDITIONS, seconds=9.0)) == (["ada"], False)


def test_a_regrading_that_was_cut_off_goes_on_only_as_one(planned):
    hand_in("bob")
    assert planned(finished=False, regrade_before=True, regrade=True) == (["bob"], True)
    assert planned(finished=False, regrade_before=True) == (["bob"], False)
    assert planned(finished=True, regrade_before=True, regrade=True) == (["ada", "bob"], False)


# --- the grader's hash -------------------------------------------------------------------------------------------


MINE = "courses/mini_llama"
FILES = (  # a few of the files that the hash is over, and some that it is not
    "autograder/__init__.py",
    "autograder/engine/judge.py",
    "autograder/answers/draws.py",
    "autograder/worker/call.py",
    "autograder/intake/zips.py",
    "autograder/classroom/reports/pages.py",
    "autograder/instructor/bank.py",
    f"{MINE}/mmia.toml",
    f"{MINE}/minillama.toml",
    *(f"{MINE}/components/rope/{part}.py" for part in ("adapter", "cases", "oracle", "mistakes", "alternatives")),
    f"{MINE}/components/rope/test_rope.py",
    f"{MINE}/components/rope/references.safetensors",
    f"{MINE}/components/rmsnorm/oracle.py",
    f"{MINE}/components/_shared/adapters/norms.py",
    f"{MINE}/handout/README.md",
    "llamalab/errors.py",
    "config.py",
    "rope.py",
)
EDITION = """
files = "../.."
student_files = ["rope.py"]
provided_files = ["config.py"]
[components.rope]
points = 1
"""


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A small project with these files, in the place of this one."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    (tmp_path / MINE / "mmia.toml").write_text(EDITION)
    monkeypatch.setattr(trust, "CODE", tmp_path)
    monkeypatch.setattr(trust, "PROJECT", tmp_path)
    return tmp_path


def hash_in(tree: Path) -> str:
    return grader_hash.of(editions.read(tree / MINE / "mmia.toml"))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("autograder/engine/judge.py", True),
        ("autograder/answers/draws.py", True),
        ("autograder/worker/call.py", True),
        (f"{MINE}/components/rope/adapter.py", True),
        (f"{MINE}/components/rope/cases.py", True),
        (f"{MINE}/components/rope/oracle.py", True),
        (f"{MINE}/components/rope/test_rope.py", True),
        (f"{MINE}/components/rope/references.safetensors", True),
        (f"{MINE}/components/_shared/adapters/norms.py", True),
        (f"{MINE}/mmia.toml", True),
        ("config.py", True),
        (f"{MINE}/components/rope/mistakes.py", False),
        (f"{MINE}/components/rope/alternatives.py", False),
        (f"{MINE}/components/rmsnorm/oracle.py", False),
        (f"{MINE}/minillama.toml", False),
        (f"{MINE}/handout/README.md", False),
        ("autograder/classroom/reports/pages.py", False),
        ("autograder/intake/zips.py", False),
        ("autograder/instructor/bank.py", False),
        ("rope.py", False),
    ],
)
def test_the_hash_is_over_what_decides_marks(tree, name, counts):
    before = hash_in(tree)
    with open(tree / name, "a") as file:
        file.write("# after\n")
    assert (hash_in(tree) != before) == counts


def test_the_hash_knows_the_versions(tree, monkeypatch):
    before = hash_in(tree)
    monkeypatch.setattr(grader_hash, "versions", lambda: {"torch": "1.0"})
    assert hash_in(tree) != before
