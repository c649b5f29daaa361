"""A class, graded as its instructor does it: killed in the middle, gone on with, and compared with an unbroken run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from autograder import editions
from autograder.classroom.gradebook import Gradebook
from autograder.classroom.records import Record
from autograder.instructor import bank, solved
from autograder.instructor.handout import assemble
from autograder.trust import CODE

pytestmark = pytest.mark.slow
EDITION = "minillama"  # whose inputs are drawn sooner than those with LoRA
SEED = 11
STUDENTS = {"hasty", "honest", "mistaken", "new", "sly", "traveller"}
HARMFUL = "print('{\"earned\": 100}', flush=True)\nimport os\nos._exit(0)\n"


def works(*command: str) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


ISOLATION = "bubblewrap" if works("bwrap", "--ro-bind", "/", "/", "--unshare-pid", "true") else "process"


def hand_in(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.fixture(scope="module")
def submissions(tmp_path_factory) -> Path:
    """Six: right, with a known mistake, not begun, forging results, with a typing error, and a refused archive."""
    folder, edition = tmp_path_factory.mktemp("class") / "submissions", editions.load(EDITION)
    right, handout = solved.sources(edition), assemble(edition).files
    hand_in(folder / "new", {name: handout[name].decode() for name in edition.student_files})
    mistake = next(entry for entry in bank.mistakes(edition, "rope") if entry.name == "negative_angle")
    hand_in(folder / "mistaken", bank.apply(mistake, right))
    hand_in(
        folder / "hasty", {**right, "optimizer.py": right["optimizer.py"].replace("def step(self", "def step(self,,")}
    )
    hand_in(folder / "sly", {**right, "rope.py": HARMFUL})
    with zipfile.ZipFile(folder / "honest.zip", "w") as archive:
        for name, text in right.items():
            archive.writestr(f"homework/{name}", text)
    with zipfile.ZipFile(folder / "traveller.zip", "w") as archive:
        archive.writestr("../../rope.py", right["rope.py"])
    return folder


def grade(submissions: Path, out: Path, workers: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "autograder", "grade", EDITION, submissions, "--out", out, "--seed", str(SEED)]
    return subprocess.Popen(
        [*map(str, command), "--isolation", ISOLATION, "--workers", str(workers)],
        cwd=CODE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(grading: subprocess.Popen) -> str:
    out, err = grading.communicate(timeout=300)
    assert grading.returncode == 0 and "Traceback" not in out + err, out + err
    return out


def results(out: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in (out / "json").glob("[!.]*.json")}


@pytest.fixture(scope="module")
def folders(submissions, tmp_path_factory) -> tuple[Path, Path]:
    """The results of an unbroken run, and of one, with fewer workers, that was killed after a result and went on."""
    unbroken, broken = tmp_path_factory.mktemp("unbroken"), tmp_path_factory.mktemp("broken")
    first, second = grade(submissions, unbroken, 2), grade(submissions, broken, 1)
    while not results(broken) and second.poll() is None:
        time.sleep(0.01)
    os.kill(second.pid, signal.SIGKILL)
    second.communicate()
    kept = results(broken)
    assert second.returncode == -signal.SIGKILL and 1 <= len(kept) < len(STUDENTS)
    said = finished(grade(submissions, broken, 1))
    assert "where the last run was cut off" in said
    assert kept.items() <= results(broken).items(), "what was graded before the kill is kept as it was"
    finished(first)
    return unbroken, broken


@pytest.fixture(scope="module")
def records(folders) -> dict[str, Record]:
    with Gradebook(folders[1] / "gradebook.sqlite") as book:
        return {record.slug: record for record in book.records()}


def without_times(data: bytes) -> dict:
    return {name: value for name, value in json.loads(data).items() if name != "times"}


def test_a_run_that_was_killed_and_went_on_ends_like_an_unbroken_one(folders):
    one, other = map(results, folders)
    assert one.keys() == other.keys() == STUDENTS
    for slug in STUDENTS:
        assert without_times(one[slug]) == without_times(other[slug]), slug


def test_everybody_has_the_marks_they_deserve(records):
    def lost(slug: str) -> set[str]:
        return {row.name for row in records[slug].results.components if row.points and row.state != "ok"}

    assert records["honest"].results.earned == 100
    assert lost("mistaken") == {"rope"} and lost("hasty") == {"adamw"} and lost("sly") == {"rope"}
    assert records["new"].results.earned == 0
    assert {row.state for row in records["new"].results.components if row.points} == {"todo"}
    assert {slug for slug, record in records.items() if record.status == "refused"} == {"traveller"}


def test_every_result_says_how_it_was_made(records):
    for record in records.values():
        assert record.seed == SEED and record.isolation == ISOLATION and record.environment["torch"]


def test_a_known_mistake_is_named_though_the_inputs_are_fresh(records):
    (row,) = [row for row in records["mistaken"].results.components if row.name == "rope"]
    assert row.match.name == "negative_angle"


def test_a_forged_result_is_only_what_a_submission_printed(records):
    (row,) = [row for row in records["sly"].results.components if row.name == "rope"]
    assert {test.outcome for test in row.tests} <= {"crashed", "error"} and row.earned == 0


def test_the_pages_are_there(folders):
    for out in folders:
        assert (out / "index.html").is_file() and (out / "gradebook.csv").is_file()
        assert {path.stem for path in (out / "students").glob("*.html")} == STUDENTS
