"""The project as a package: what a wheel holds, and what its commands do far from the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from autograder import editions
from autograder.instructor.handout import assemble
from tests.environments import environment, install

ROOT = Path(__file__).resolve().parents[2]


def build(project: Path, folder: Path) -> Path:
    """Make a wheel of a project, which leaves nothing beside its files; returns its path."""
    before = sorted(project.iterdir())
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, project], check=True)
    assert sorted(project.iterdir()) == before
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of the commands of an environment with the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    python = environment(folder)
    install(python, wheel)
    return python.parent


def run(command: list, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LLAMALAB", "PYTHON"))}
    env |= {"XDG_CACHE_HOME": str(folder / "cache"), **variables}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs git, to know which files are the project's")
    return listed.stdout.splitlines()


def test_the_wheel_has_two_packages_and_everything_else_as_data_below_one(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"llamalab", "autograder", "llamalab-0.1.0.dist-info"}
    wanted = set()
    for name in tracked():
        top, _, rest = name.partition("/")
        if top in ("llamalab", "autograder"):
            wanted.add(name)
        elif top == "courses" or (not rest and (ROOT / name).is_file()):
            wanted.add(f"llamalab/project/{name}")
    assert wanted <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_packages_that_development_needs_are_stated_once():
    """``setup.sh`` reads a file of them and ``pip install llamalab[dev]`` the project's own table."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    listed = (ROOT / "requirements-dev.txt").read_text("utf-8").splitlines()
    assert [*extras["hf"], *extras["dev"][1:]] == [line for line in listed if not line.startswith("#")]


@pytest.mark.slow
def test_the_commands_work_far_from_the_repository(installed, tmp_path):
    for command in ("llamalab", "autograder"):
        done = run([installed / command, "--help"], tmp_path)
        assert done.returncode == 0 and "usage" in done.stdout and done.stderr == ""
    python = installed / "python"
    done = run([python, "-m", "llamalab.assets", "list"], tmp_path)
    assert done.returncode == 0 and "smollm2" in done.stdout
    code = "from llamalab import course, places; print(course.model('llama').__name__, places.home())"
    done = run([python, "-c", code], tmp_path)
    assert done.stdout == f"Llama {tmp_path / 'cache' / 'llamalab'}\n", done.stderr
    done = run([python, "-c", "import rope"], tmp_path)
    assert "No module named 'rope'" in done.stderr


@pytest.mark.slow
def test_an_installed_command_runs_a_model_from_an_empty_folder(installed, asset, tmp_path):
    model = asset("stories260K-model")
    command = [installed / "llamalab", "generate", "--pretrained-model-path", model, "--temperature", "0"]
    done = run([*command, "--prompt", "Once", "--max_new_tokens", "8"], tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("Once upon a time"), done.stderr


def test_a_handout_is_a_project_of_its_own(tmp_path):
    """It has fewer files than the repository, and installs all the same."""
    edition = editions.load("mmia")
    for name, data in assemble(edition).files.items():
        (tmp_path / "handout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "handout" / name).write_bytes(data)
    names = zipfile.ZipFile(build(tmp_path / "handout", tmp_path / "wheel")).namelist()
    data = [*edition.student_files, *edition.provided_files, ".handout", "courses/mini_llama/mmia.toml", "setup.py"]
    assert {f"llamalab/project/{name}" for name in data} <= set(names)
    assert not [name for name in names if "/fast/" in name or "instructor" in name]


@pytest.mark.slow
def test_an_installed_autograder_grades(installed, tmp_path):
    done = run([installed / "autograder", "check", "--edition", "mmia", "--submission", ROOT, "rope"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "15/15" in done.stdout
