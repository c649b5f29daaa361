"""setup.sh as a user runs it, up to the point where it would install packages; no test installs torch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import environment

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")


@pytest.fixture
def project(tmp_path):
    """A copy of what setup.sh needs, in a folder with a space in its name, with nothing to install."""
    folder = tmp_path / "my project"
    shutil.copytree(ROOT / "llamalab", folder / "llamalab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.sh", folder)
    for name in ("pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, folder)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (folder / name).write_text("# nothing\n")
    return folder


def setup(project: Path, *options: object, cwd: Path | None = None, **variables: str) -> tuple[int, str, str]:
    """Run setup.sh; returns its exit status, stdout and stderr."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LLAMALAB", "PIP_"))}
    run = subprocess.run(
        ["bash", project / "setup.sh", *map(str, options)],
        cwd=cwd or project,
        env={**env, "PIP_CONFIG_FILE": os.devnull, **variables},
        capture_output=True,
        text=True,
        timeout=180,
    )
    return run.returncode, run.stdout, run.stderr


def fake_python(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def ready(project):
    """The project with an environment that already is as pinned, without the project itself."""
    environment(project / ".venv")
    return project


def test_help_says_what_every_option_does(project):
    status, out, err = setup(project, "--help")
    assert status == 0 and err == ""
    for option in ("--mirror DIR", "--offline", "--python PATH", "--no-model", "--minimal"):
        assert f"\n  {option} " in out
    assert not (project / ".venv").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--colour"], "unknown option --colour"),
        (["--mirror"], "--mirror needs a value"),
        (["--python", ""], "--python needs a value"),
        (["--mirror", "absent"], "the mirror absent is not a folder"),
    ],
)
def test_a_wrong_option_gives_one_sentence_and_changes_nothing(project, options, sentence):
    before = sorted(project.rglob("*"))
    status, out, err = setup(project, *options)
    assert (status, out) == (2, "")
    assert err == f"setup.sh: {sentence} (see: bash setup.sh --help)\n"
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize(
    ("script", "fault"),  # what the Python answers when asked for its version, and the complaint
    [
        ("echo 3.9.2", "is version 3.9.2; 3.11 or newer is needed."),
        ("echo 2.7.18", "is version 2.7.18; 3.11 or newer is needed."),
        (
            "echo 3.12.1; echo no venv",
            "has no venv module (on Debian or Ubuntu: apt install python3.12-venv).",
        ),
        ("exit 127", "does not run."),
    ],
)
def test_a_python_that_will_not_do_gives_one_sentence(project, tmp_path, script, fault):
    python = fake_python(tmp_path, "python", script)
    status, out, err = setup(project, "--python", python)
    assert (status, out) == (1, "")
    assert err == f"setup.sh: {python} {fault}\n"
    assert not (project / ".venv").exists()


def test_with_only_an_old_python_on_the_path_the_sentence_names_it(project, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "mkdir", "cat", "rm", "ls", "sh"):
        (tools / name).symlink_to(shutil.which(name))
    fake_python(tools, "python3", "echo 3.9.2")
    status, _, err = setup(project, PATH=str(tools))
    assert status == 1
    assert "no usable Python 3.11 or newer: python3 is version 3.9.2" in err


def test_a_venv_that_is_not_one_is_never_removed(project):
    (project / ".venv").mkdir()
    (project / ".venv" / "thesis.txt").write_text("do not lose me")
    status, _, err = setup(project, "--python", sys.executable)
    assert status == 1 and "is not a virtual environment; move it away" in err
    assert (project / ".venv" / "thesis.txt").read_text() == "do not lose me"


def test_an_unfinished_venv_is_made_anew_and_a_pip_that_finds_nothing_is_explained(project):
    (project / "requirements.txt").write_text("llamalab-no-such-package==1.0\n")
    (project / ".venv").mkdir()
    (project / ".venv" / ".setup-unfinished").touch()
    (project / ".venv" / "half-made").touch()
    status, _, err = setup(project, "--offline", "--python", sys.executable)
    assert status == 1 and "Traceback" not in err
    assert "replacing .venv, which is unfinished" in err
    assert "offline, and no wheel to install from: No matching distribution found" in err
    assert (project / ".venv" / "pyvenv.cfg").exists()
    assert not (project / ".venv" / "half-made").exists()


def test_an_index_that_cannot_be_reached_gives_one_sentence_in_seconds(ready):
    (ready / "requirements.txt").write_text("llamalab-no-such-package==1.0\n")
    status, _, err = setup(ready, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0")
    assert status == 1
    assert err.splitlines()[-1].startswith("setup.sh: pip cannot reach its package index (log: ")


def test_a_ready_environment_is_kept_and_unreachable_assets_are_no_failure(ready, tmp_path):
    status, out, err = setup(ready, "--offline", cwd=tmp_path)
    assert status == 0, err
    assert "installing" not in err and "making" not in err
    assert "smollm2" in out and "missing" in out
    assert "python -m llamalab.assets fetch default [--mirror DIR]" in out
    assert out.rstrip().endswith("    .venv/bin/python run_llama.py --option generate")
    assert f"cd {tmp_path}/my\\ project" in out


def test_a_handout_needs_no_requirements_dev_and_is_checked_next(ready):
    (ready / "requirements-dev.txt").unlink()
    (ready / ".handout").touch()
    status, out, err = setup(ready, "--offline", "--no-model")
    assert status == 0 and "installing" not in err and "requirements-dev.txt" not in err
    assert out.rstrip().endswith("    .venv/bin/python -m autograder check")


def test_no_model_leaves_the_model_out_and_a_mirror_is_taken_relative_to_the_caller(ready, tmp_path):
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "labels").write_bytes(labels := b'["bad", "good"]\n')
    status, out, _ = setup(ready, "--offline", "--no-model", "--mirror", "usb", cwd=tmp_path)
    assert status == 0 and "smollm2" not in out
    assert (ready / "data" / "cfimdb-label-mapping.json").read_bytes() == labels


def test_a_second_setup_at_the_same_time_is_refused_and_a_dead_ones_lock_is_not(ready):
    (ready / ".setup.lock").mkdir()
    (ready / ".setup.lock" / "pid").write_text(str(os.getpid()))
    status, _, err = setup(ready, "--offline")
    assert status == 1 and f"another setup.sh (process {os.getpid()}) is at work here" in err
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (ready / ".setup.lock" / "pid").write_text(str(gone.pid))
    assert setup(ready, "--offline")[0] == 0
    assert not (ready / ".setup.lock").exists()


def test_the_project_is_installed_from_its_folder_once_with_nothing_else_of_it(ready, tmp_path):
    (ready / "rope.py").write_text("")
    assert setup(ready, "--offline", "--no-model")[0] == 0
    commands = [ready / ".venv" / "bin" / name for name in ("llamalab", "autograder")]
    assert all(command.is_file() for command in commands)
    made = [command.stat().st_mtime_ns for command in commands]
    find = "from importlib.util import find_spec; print(find_spec('llamalab').origin, find_spec('rope'))"
    python = ready / ".venv" / "bin" / "python"
    found = subprocess.run([python, "-c", find], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert found == f"{ready}/llamalab/__init__.py None\n"
    assert setup(ready, "--offline", "--no-model")[0] == 0
    assert made == [command.stat().st_mtime_ns for command in commands]  # nothing to do, nothing done
    assert not list(ready.glob("*.egg-info")) and not (ready / "build").exists()


def test_a_project_that_cannot_be_built_gives_one_sentence(ready):
    (ready / "setup.py").write_text("raise SystemExit('no such day')\n")
    status, _, err = setup(ready, "--offline")
    assert status == 1 and "Traceback" not in err
    assert err == f"setup.sh: pip could not install the project in {ready} itself (log: {ready}/.venv/pip.log)\n"
