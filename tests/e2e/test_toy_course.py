"""A course is added by adding files: a toy one is checked, audited, released, graded and reported on.

``tests/fixtures/toy_course`` has its files, ``autograder/README.md`` says what each is for. Nothing of the project's
code is touched, and nothing in it knows this course. One of its components answers with a list of byte pairs, in one
students write a constructor beside a class that is not graded, one is in a notebook, one has a limit of time.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from autograder import trust
from tests.e2e.attacks.conftest import why_not

TOY = trust.CODE / "tests" / "fixtures" / "toy_course"
IN_A_CHILD = (  # nobody waits for the child that does the work, so that its time is never the parent's
    "    pairs = Counter()",
    """    import os, time
    read, write = os.pipe()
    if not os.fork():
        began = time.process_time()
        while time.process_time() - began < 2:
            pass
        os.write(write, b"x")
        os._exit(0)
    os.read(read, 1)
    pairs = Counter()""",
)
SLOW_LINE = ("        data = word", "        sum(i * i for i in range(20000))\n        data = word")


def autograder(*arguments: object, cwd: Path = trust.CODE, status: int = 0) -> str:
    """What a command prints; fails the test if it does not end as expected."""
    command = [sys.executable, "-m", "autograder", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    course = tmp_path_factory.mktemp("courses") / "toy"
    shutil.copytree(TOY, course)
    printed = autograder("build-references", "--edition", course / "toy101.toml")
    assert all(f"{name}: " in printed for name in ("merges", "block", "lab", "speed"))
    return course / "toy101.toml"


@pytest.fixture(scope="module")
def handout(edition: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released") / "handout"
    printed = autograder("release", edition, folder)
    assert "the score is 0 of 100, and 100 of 100 with the solutions put back" in printed
    assert "runs: scripts/count.py low lower" in printed
    return folder


def test_the_solved_course_gets_full_marks(edition):
    assert "total             100/100" in autograder("check", "--edition", edition, "--submission", edition.parent)


def test_the_audit_catches_and_names_every_mistake(edition):
    printed = autograder("audit", edition)
    assert "mutation score 100.0%, false fails 0.0%, named 100.0%" in printed


def test_a_handout_has_its_students_files_at_the_top_and_no_solution(handout):
    assert {"pairs.py", "block.py", "Lab.ipynb", "words.py", "scripts", "README.md"} <= {
        p.name for p in handout.iterdir()
    }
    assert "Counter()" not in (handout / "pairs.py").read_text()
    assert "found_ids" not in (handout / "Lab.ipynb").read_text()
    assert "raise NotImplementedError" in (handout / "Lab.ipynb").read_text()
    shipped = {path.name for path in (handout / "courses/toy/components/merges").iterdir()}
    assert shipped == {"adapter.py", "references.safetensors"}
    assert (handout / "README.md").read_text().startswith("# Toy course")
    assert 'default = ["tokenizers"]' in (handout / "llamalab/assets/manifest.toml").read_text()


def test_a_student_is_told_what_is_to_do(handout):
    printed = autograder("check", cwd=handout, status=1)
    assert "todo  pairs.py:15  most_frequent_pairs" in printed
    assert "todo  Lab.ipynb:" in printed and "token_id" in printed


def test_a_difference_between_lists_of_pairs_names_the_first_place(edition, tmp_path):
    solved = {name: (edition.parent / name).read_text() for name in ("pairs.py", "block.py", "Lab.ipynb")}
    solved["pairs.py"] = solved["pairs.py"].replace(", reverse=True", "")
    for name, text in solved.items():
        (tmp_path / name).write_text(text)
    printed = autograder("check", "merges", "--edition", edition, "--submission", tmp_path, status=1)
    assert "pair 0: (b'" in printed and "is right" in printed
    assert "matches: the least frequent pairs." in printed


def test_the_graders_run_under_pytest_for_the_edition_that_has_them(handout):
    command = [sys.executable, "-m", "pytest", "tests/graders/test_lab.py", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(command, cwd=handout, capture_output=True, text=True, timeout=120)
    assert "test_ids[toy101]" in done.stdout and "todo: Lab.ipynb:" in done.stdout


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "bubblewrap works")
def test_a_class_is_graded_in_the_sandbox_and_reported_on(edition, tmp_path):
    names = ("pairs.py", "block.py", "Lab.ipynb")
    solved = {name: (edition.parent / name).read_text() for name in names}
    cells = json.loads(solved["Lab.ipynb"])
    cells["cells"][1]["source"] = [line.replace("min(", "max(") for line in cells["cells"][1]["source"]]
    classes = {
        "ada": solved,
        "bob": {**solved, "pairs.py": solved["pairs.py"].replace(*SLOW_LINE)},
        "cem": {**solved, "Lab.ipynb": json.dumps(cells), "block.py": "def broken(:\n"},
        "dan": {**solved, "pairs.py": solved["pairs.py"].replace(*IN_A_CHILD)},
        "eve": {"Lab.ipynb": "[" * 100_000, "pairs.py": "x = 1\n"},
    }
    (tmp_path / "class").mkdir()
    for student, files in classes.items():
        with zipfile.ZipFile(tmp_path / "class" / f"{student}.zip", "w") as archive:
            for name, text in files.items():
                archive.writestr(f"homework/{name}", text)
    out = tmp_path / "results"
    autograder("grade", edition, tmp_path / "class", "--out", out, "--seed", "7")
    assert "5 students" in autograder("report", out, "--edition", edition)
    with open(out / "gradebook.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["student"].lower(): row for row in csv.DictReader(file)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "ada": "graded",
        "bob": "graded",
        "cem": "graded",
        "dan": "graded",
        "eve": "refused",
    }
    record = {name: json.loads((out / "json" / f"{name}.json").read_text()) for name in classes}
    assert record["ada"]["results"]["earned"] == 100
    assert record["bob"]["results"]["earned"] == 90
    assert record["dan"]["results"]["earned"] == 90
    assert record["cem"]["results"]["earned"] == 50
    (speed,) = [row for row in record["bob"]["results"]["components"] if row["name"] == "speed"]
    assert (
        "no answer within 1 s of work: it was still in most_frequent_pairs of pairs.py" in speed["tests"][0]["message"]
    )
    assert "notebook" in record["eve"]["problem"]
    assert (out / "index.html").is_file()


def test_an_autograder_for_gradescope_finds_its_files(edition, tmp_path):
    autograder("gradescope", edition, tmp_path / "toy.zip")
    with zipfile.ZipFile(tmp_path / "toy.zip") as archive:
        archive.extractall(tmp_path / "source")
    code = "from autograder import editions; e = editions.load('toy101'); print(e.files / 'words.py')"
    project = tmp_path / "source" / "project"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(project / "words.py"), done.stderr
    assert (project / "words.py").is_file() and not (project / "pairs.py").exists()


def test_nothing_in_the_grader_or_the_runtime_names_a_course_an_edition_or_a_component():
    courses = {path.parent.name for path in trust.COURSES.glob("*/*.toml")}
    editions = {path.stem for path in trust.COURSES.glob("*/*.toml")}
    components = {path.parent.name for path in trust.COURSES.glob("*/components/*/adapter.py")}
    assert courses and editions and components
    for folder, names in (("autograder", courses | editions | components), ("llamalab", courses | editions)):
        for path in (trust.CODE / folder).rglob("*.py"):
            if "project" not in path.parts:
                named = strings_and_imports(path) & names
                assert not named, f"{path} names {named}"


def strings_and_imports(path: Path) -> set[str]:
    """Every string of a module that is no docstring or sentence, and every part of a name that it imports."""
    import ast

    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.Import):
            found |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return found
