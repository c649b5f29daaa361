"""The zip for Gradescope: what is in it and what is not, and what the command says.

`test_grading_gradescope_container.py` and `tests/e2e/test_gradescope_zip.py` have what it does there.
"""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from autograder import editions, trust
from autograder.classroom import gradescope, inputs
from autograder.classroom.gradescope_runner import ZipSettings
from llamalab.errors import UserError

EDITION = editions.load("mmia")
SCRIPTS = ("setup.sh", "run_autograder")
bash = pytest.mark.skipif(not shutil.which("bash") or not shutil.which("timeout"), reason="needs bash and coreutils")


def blank(edition, seeds, folder: Path) -> None:
    """Draws files with nothing in them."""
    for number in range(len(seeds)):
        (folder / str(number)).mkdir()
        for name in edition.components:
            (folder / str(number) / f"{name}.safetensors").touch()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A zip that the command wrote, without the inputs, which take their time."""
    path = tmp_path_factory.mktemp("gradescope") / "out.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradescope, "draw", blank)
        assert gradescope.run("mmia", path) == 0
    return path


@pytest.fixture(scope="module")
def files(made) -> dict[str, bytes]:
    with zipfile.ZipFile(made) as archive:
        names = archive.namelist()
        assert len(set(names)) == len(names)
        return {name: archive.read(name) for name in names}


@pytest.fixture(scope="module")
def settings(files) -> ZipSettings:
    fields = json.loads(files["private/settings.json"])
    return ZipSettings(**{**fields, "seeds": tuple(fields["seeds"])})


# --- what is in the zip ------------------------------------------------------------------------------------------


def test_the_scripts_that_gradescope_looks_for_lie_at_the_top_and_can_be_run(made):
    with zipfile.ZipFile(made) as archive:
        for name in SCRIPTS:
            assert stat.S_IMODE(archive.getinfo(name).external_attr >> 16) == 0o755


def test_nothing_of_the_instructors_and_no_solution_is_in_it(files):
    unwanted = {"instructor", ".git", "__pycache__", "results", trust.FAST}
    unwanted |= {"cases.py", "oracle.py", "mistakes.py", "alternatives.py"}
    for name in files:
        parts = Path(name).parts
        assert not set(parts) & unwanted and not name.endswith((".pyc", ".so")), name
        assert ".." not in parts and not name.startswith("/")
    solved = [path.relative_to(trust.CODE).as_posix() for path in (trust.CODE / "llamalab" / trust.FAST).glob("*.py")]
    assert len(solved) > 1
    assert not {f"project/{name}" for name in (*EDITION.student_files, *solved)} & files.keys()
    assert not {Path(name).name for name in files} & {*EDITION.student_files}
    assert not any(b"BEGIN SOLUTION" in data for data in files.values())


def test_what_is_hidden_from_workers_is_what_a_handout_lacks():
    shown = [path for name, path in trust.of_worker(EDITION).items() if name.startswith("llamalab/")]
    hidden = [path for path in trust.runtime() if not any(path.is_relative_to(top) for top in shown)]
    fast = trust.CODE / "llamalab" / trust.FAST
    assert hidden == [] and fast.is_dir()
    assert not any(fast.is_relative_to(top) for top in shown)
    assert not any(path.is_relative_to(fast) for path in trust.of_handout(EDITION).values())


def test_only_the_editions_own_components_are_in_it(files):
    course = "project/courses/mini_llama"
    assert f"{course}/mmia.toml" in files and f"{course}/minillama.toml" not in files
    assert not [name for name in files if "rmsnorm" in name]
    for name in EDITION.components:
        assert f"{course}/components/{name}/adapter.py" in files and f"project/tests/graders/test_{name}.py" in files


def test_secrets_lie_in_the_private_folder_and_nowhere_else(made, files, settings):
    secrets = [settings.salt.encode(), *(str(seed).encode() for seed in settings.seeds)]
    for name, data in files.items():
        if not name.startswith("private/"):
            assert not any(secret in data for secret in secrets), name
    with zipfile.ZipFile(made) as archive:
        modes = {info.external_attr >> 16 & 0o77 for info in archive.infolist() if info.filename.startswith("private/")}
    assert modes == {0}


def test_nobody_else_can_read_the_zip(made):
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_every_set_of_inputs_has_every_component(files, settings):
    assert len(settings.seeds) == len(set(settings.seeds)) == gradescope.SETS
    for number in range(gradescope.SETS):
        for name in EDITION.components:
            assert f"private/references/{number}/{name}.safetensors" in files


def test_no_two_zips_share_a_seed_or_a_salt(tmp_path, monkeypatch, settings):
    monkeypatch.setattr(gradescope, "draw", blank)
    gradescope.run("mmia", tmp_path / "other.zip")
    with zipfile.ZipFile(tmp_path / "other.zip") as archive:
        other = json.loads(archive.read("private/settings.json"))
    assert other["salt"] != settings.salt and not set(other["seeds"]) & set(settings.seeds)
    assert other["grader"] == settings.grader


def test_packages_are_pinned_as_in_the_project_and_torch_is_for_processors(files):
    lines = files["requirements.txt"].decode().splitlines()
    assert lines[0] == "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert [line.replace("+cpu", "") for line in lines[1:]] == (
        trust.PROJECT / "requirements.txt"
    ).read_text().splitlines()
    assert [line for line in lines if "+cpu" in line and line.startswith("torch==")]


# --- the command -------------------------------------------------------------------------------------------------


def test_it_says_what_to_do_with_the_zip(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gradescope, "draw", blank)
    gradescope.run("mmia", tmp_path / "out.zip")
    said = capsys.readouterr().out
    for words in ("out.zip: ", "100 points", "Configure Autograder", "Ubuntu 22.04 or newer", "0.75 GB", "10 minutes"):
        assert words in said


def test_without_transformers_or_peft_it_says_so_in_one_sentence(tmp_path, monkeypatch):
    find_spec = gradescope.importlib.util.find_spec
    monkeypatch.setattr(
        gradescope.importlib.util, "find_spec", lambda name: None if name == "peft" else find_spec(name)
    )
    with pytest.raises(UserError, match="^the right answers need peft, not installed here: pip install -r .*$"):
        gradescope.run("mmia", tmp_path / "out.zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out", "out.tar", "folder.zip", "missing/out.zip"])
def test_a_place_where_no_zip_can_be_is_refused_before_the_long_part(tmp_path, monkeypatch, name):
    monkeypatch.setattr(gradescope, "draw", lambda *_: pytest.fail("too late"))
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(UserError, match=name):
        gradescope.run("mmia", tmp_path / name)


def test_a_zip_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    def fill_the_disk(*_):
        yield "setup.sh", b"", 0o755
        raise OSError(28, "No space left on device")

    (tmp_path / "out.zip").write_bytes(b"old")
    monkeypatch.setattr(gradescope, "draw", blank)
    monkeypatch.setattr(gradescope, "entries", fill_the_disk)
    with pytest.raises(UserError, match="out.zip cannot be written: No space left on device"):
        gradescope.run("mmia", tmp_path / "out.zip")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@bash
def test_what_keeps_inputs_from_being_drawn_is_said(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho a; echo no memory >&2; exit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(inputs.sys, "executable", str(python))
    with pytest.raises(UserError, match="^inputs and right answers cannot be drawn: no memory$"):
        gradescope.draw(EDITION, [1, 2], tmp_path)


# --- which inputs a submission gets ------------------------------------------------------------------------------


def test_a_submission_always_gets_the_same_inputs_and_nobody_can_tell_which(settings):
    hashes = [f"{number:064x}" for number in range(400)]
    chosen = [settings.chosen(digest) for digest in hashes]
    assert chosen == [settings.chosen(digest) for digest in hashes]
    assert min(Counter(chosen).values()) > 20 and len(Counter(chosen)) == gradescope.SETS
    other = ZipSettings(settings.edition, settings.grader, "another salt", settings.seeds)
    assert chosen != [other.chosen(digest) for digest in hashes]
