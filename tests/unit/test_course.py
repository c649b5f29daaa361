"""Which folder's student files run, and where the project's own files are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llamalab import course, places
from llamalab.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = sorted((ROOT / "llamalab").rglob("*.py"))
FLAT = sorted(path.stem for path in ROOT.glob("*.py"))


@pytest.fixture
def other(tmp_path, monkeypatch) -> Path:
    """A process that has asked for nothing yet, and the folder of a course."""
    monkeypatch.setattr(course, "_folder", None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "toy_model.py").write_text("class Toy: pass\n")
    yield tmp_path
    sys.modules.pop("toy_model", None)


def test_the_runtime_imports_no_student_file_by_its_flat_name():
    """Only annotations may name them; and each module of the runtime loads where there is none."""
    imported = re.compile(rf"^(?:from|import) ({'|'.join(FLAT)})\b", re.MULTILINE)
    for path in RUNTIME:
        assert not imported.findall(path.read_text("utf-8")), path


def test_every_module_of_the_runtime_loads_without_any_student_file(tmp_path):
    (tmp_path / "llamalab").symlink_to(ROOT / "llamalab")
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in RUNTIME if path.stem != "__main__"]
    loading = (
        "import importlib, sys; sys.path.insert(0, sys.argv[1]); [importlib.import_module(n) for n in sys.argv[2:]]"
    )
    command = [sys.executable, "-P", "-c", loading, str(tmp_path), *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_course_and_no_edition_is_named_in_the_runtime():
    """Not in a string and not in an import. Docstrings are English, in which these may be words."""
    courses = ROOT / "courses"
    named = {path.stem for path in courses.glob("*/*.toml")} | {path.parent.name for path in courses.glob("*/*.toml")}
    word = re.compile(rf"\b({'|'.join(map(re.escape, sorted(named)))})\b")
    for path in RUNTIME if named else ():
        tree = ast.parse(path.read_text("utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in prose]
        imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
        found = [text for text in (*strings, *imports) if isinstance(text, str) and word.search(text)]
        assert not found, path


def test_the_places_and_the_course_are_known_without_torch():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, llamalab.course; sys.exit('torch' in sys.modules)"], cwd=ROOT
    )
    assert done.returncode == 0


def test_the_course_of_the_root_is_the_default(other):
    assert course.folder() == ROOT
    assert Path(course.get("config").__file__) == ROOT / "config.py"
    assert course.model("llama") is course.get("llama").Llama


def test_a_command_names_its_courses_folder_once(other):
    course.use(other)
    course.use(other)
    assert sys.path[0] == str(other) and sys.path.count(str(other)) == 1
    assert course.get("toy_model").Toy.__name__ == "Toy"
    with pytest.raises(RuntimeError, match="this process runs the course in"):
        course.use(ROOT)


def test_an_edition_names_the_classes_of_its_models(other, monkeypatch):
    """Of a course's folder the course's own editions count; in a handout, whose files lie at the top, every edition."""
    for name, text in {
        "courses/flat/one.toml": 'files = "../.."\n[models]\nrnn = "toy_model.Toy"\n',
        "courses/own/two.toml": '[models]\ncnn = "toy_model.Toy"\n',
    }.items():
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text(text)
    monkeypatch.setattr(places, "PACKAGES", other)
    assert course.model("rnn") is course.get("toy_model").Toy
    with pytest.raises(UserError, match="no model class for checkpoints of cnn; it has one for rnn"):
        course.model("cnn")
    (other / "courses/flat/one.toml").unlink()
    (other / ".handout").touch()
    assert course.model("cnn") is course.get("toy_model").Toy


def test_places_do_not_depend_on_where_a_command_is_started(tmp_path, monkeypatch):
    monkeypatch.delenv("LLAMALAB_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert places.root() == places.home() == ROOT
    assert places.default("data/x.txt") == str(ROOT / "data/x.txt")
    monkeypatch.chdir(ROOT)
    assert places.default("data/x.txt") == str(Path("data/x.txt"))


def test_an_installed_package_has_the_project_below_it_and_the_users_files_elsewhere(tmp_path, monkeypatch):
    monkeypatch.delenv("LLAMALAB_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project = tmp_path / "site-packages" / "llamalab" / "project"
    project.mkdir(parents=True)
    monkeypatch.setattr(places, "PACKAGES", tmp_path / "site-packages")
    monkeypatch.setattr(places, "INSTALLED", project)
    assert places.root() == project
    assert places.path("courses/x.toml") == project / "courses/x.toml"
    assert places.path("llamalab/x.py") == tmp_path / "site-packages/llamalab/x.py"
    assert not places.home().is_relative_to(tmp_path / "site-packages")
    monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path / "mine"))
    assert places.home() == tmp_path / "mine"
