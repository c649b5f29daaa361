"""``python -m autograder check`` and the same graders under pytest, on submissions with one thing wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from autograder import editions, trust
from autograder.__main__ import main
from autograder.instructor import regions, solved


@pytest.fixture
def submission(tmp_path) -> Path:
    """The solved tree's student files, to be broken."""
    for file, text in solved.sources(editions.load("mmia")).items():
        (tmp_path / file).write_text(text)
    return tmp_path


def check(*arguments: object, edition: str | Path = "mmia") -> subprocess.CompletedProcess:
    named = ("--edition", edition) if edition else ()
    command = [sys.executable, "-m", "autograder", "check", *map(str, (*arguments, *named))]
    return subprocess.run(command, capture_output=True, text=True, cwd=trust.CODE, timeout=120)


def replace(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def test_a_right_submission_exits_with_0(submission, tmp_path):
    done = check("rope", "adamw", "--submission", submission, "--json", tmp_path / "results.json")
    assert done.returncode == 0 and done.stdout.count(" ok") == 2
    rows = json.loads((tmp_path / "results.json").read_text())["components"]
    assert [(row["name"], row["state"], row["earned"]) for row in rows] == [("rope", "ok", 15), ("adamw", "ok", 15)]


def test_a_wrong_component_is_explained_and_the_other_keeps_its_marks(submission):
    replace(submission, "rope.py", "pairs * turns", "pairs * turns.conj()")
    done = check("rope", "adamw", "--submission", submission)
    assert done.returncode == 1
    assert "FAIL  wrong from position 1 on" in done.stdout
    assert "matches: rotation by the negative angle. Check the sign of the sine terms (Su et al. 2021" in done.stdout
    assert "adamw             15/15    ok" in done.stdout


def test_an_unwritten_region_is_to_do(submission):
    text = (submission / "rope.py").read_text()
    region = next(region for region in regions.parse(text, "rope.py") if region.name == "rope")
    todo = regions.replace(text, [(region, 'raise NotImplementedError("rope: ...")')], keep_fences=False)
    (submission / "rope.py").write_text(todo)
    line = todo.splitlines().index('    raise NotImplementedError("rope: ...")') + 1
    done = check("rope", "--submission", submission)
    assert done.stdout == f"rope              0/15     todo  rope.py:{line}  apply_rotary_emb\n"


def test_a_file_that_does_not_import_costs_its_own_components(submission):
    (submission / "rope.py").write_text("import torch\n\nx = torch.nothing\n")
    done = check("rope", "adamw", "--submission", submission)
    assert "error: cannot be imported: AttributeError: module 'torch' has no attribute 'nothing'" in done.stdout
    assert "rope.py:3  <module>" in done.stdout and "adamw             15/15    ok" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rop"], "the edition mmia has no component 'rop'; it has layer_norm"),
        (["rope", "--submission", "/nowhere"], "/nowhere has none of the files of a submission"),
        (["rope", "--json", "/nowhere/results.json"], "/nowhere/results.json: No such file or directory"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(arguments, words):
    done = check(*arguments)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("edition", "words"),
    [
        ("none", "there is no edition 'none'; there are minillama, mmia; or name the path of its TOML"),
        ("none.toml", "there is no edition 'none.toml'"),
    ],
)
def test_an_edition_that_is_not_there_is_one_sentence(edition, words):
    done = check("rope", edition=edition)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_without_an_edition_each_that_has_the_components_is_checked():
    both, one = check("rope", edition=""), check("lora", edition="")
    assert both.returncode == one.returncode == 0
    assert both.stdout.splitlines()[::2] == ["Mini-Llama", "Mini-Llama (MMIA)"]
    assert one.stdout == "lora              10/10    ok\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "no edition has a component nothing; there are minillama, mmia"),
        (["rope", "--submission", "tests"], "tests has no student's file of any edition"),
        (["rope", "--json", "both.json"], "--json holds one edition's results; name it with --edition"),
    ],
)
def test_what_no_edition_fits_is_one_sentence(arguments, words):
    done = check(*arguments, edition="")
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_an_edition_may_be_a_file_anywhere(submission):
    (submission / "mine.toml").write_text('student_files = ["rope.py"]\n[components.rope]\npoints = 3\n')
    (submission / "components").symlink_to(editions.load("mmia").component_folder)
    done = check("--submission", submission, edition=submission / "mine.toml")
    assert done.stdout == "rope              3/3      ok\n", done.stderr


def test_the_same_graders_run_under_pytest():
    """Once for each edition of the course that has the component."""
    test = "courses/mini_llama/components/rope/test_rope.py"
    command = [sys.executable, "-m", "pytest", test, "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=trust.CODE, timeout=120)
    assert done.returncode == 0 and "12 passed" in done.stdout, done.stdout


COMMANDS = "check audit build-references release grade report replay doctor similarity gradescope".split()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_has_an_example(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"python -m autograder {name} " in capsys.readouterr().out.partition("examples:")[2]
