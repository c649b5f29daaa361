"""Handouts: what is in one, what stops a release, and that a stopped one leaves nothing behind.

The proofs that run a handout are tested in ``tests/e2e/test_handout.py``.
"""

from __future__ import annotations

import ast
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autograder import editions, trust
from autograder.instructor import proofs, release
from autograder.instructor.handout import PROJECT_FILES, TEXTS, Handout, assemble
from llamalab.errors import UserError

COURSE = "courses/mini_llama"
MINE = f"{COURSE}/mine.toml"

EDITION = """
title = "Two parts"
checklist = "../../checklist.md"
files = "../.."
student_files = ["rope.py", "optimizer.py"]
provided_files = [
    "config.py", "base_llama.py", "tokenizer.py", "utils.py", "llama.py", "sampling.py", "classifier.py", "lora.py",
]
command_files = ["run_llama.py", "sanity_check.py", "sanity_check.data"]
[components.rope]
points = 15
regions = ["rope", "rope_frequencies"]
[components.adamw]
points = 10
regions = ["adamw"]
"""


@pytest.fixture(scope="session")
def solved(tmp_path_factory) -> Path:
    """A solved tree with what an edition ships, and a small one of its own, to be copied."""
    root, mmia = tmp_path_factory.mktemp("solved"), editions.load("mmia")
    names = (*PROJECT_FILES, "checklist.md", *mmia.student_files, *mmia.provided_files, *mmia.command_files)
    paths = [trust.PROJECT / name for name in names]
    paths += [*trust.of_handout(mmia).values(), *mmia.course.glob("*.toml"), *mmia.course.glob(f"{TEXTS}/*")]
    for path in paths:
        copy = root / path.relative_to(trust.PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    (root / MINE).write_text(EDITION)
    return root


@contextmanager
def working_in(root: Path) -> Iterator[None]:
    """This project lies in another folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CODE", "PROJECT"):
            patch.setattr(trust, name, root)
        patch.setattr(trust, "COURSES", root / "courses")
        patch.setattr(trust, "HANDOUT", root / ".handout")
        yield


@pytest.fixture
def tree(solved, tmp_path) -> Path:
    """A solved tree, to be broken."""
    return shutil.copytree(solved, tmp_path / "tree")


@pytest.fixture(scope="session")
def handout(solved) -> Handout:
    return assemble_from(solved)


@pytest.fixture
def folder(handout, tmp_path) -> Path:
    """The handout, written."""
    release.write(handout, tmp_path / "handout")
    return tmp_path / "handout"


def assemble_from(tree: Path) -> Handout:
    with working_in(tree):
        return assemble(editions.read(tree / MINE))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


# --- what is in a handout ----------------------------------------------------------------------------------------


def test_a_solution_becomes_a_todo_that_can_be_found(handout):
    text = handout.files["optimizer.py"].decode()
    assert (
        "        # TODO(adamw): the docstring says what is wanted here.\n"
        '        raise NotImplementedError("adamw: not written yet")\n'
    ) in text
    assert "SOLUTION" not in text and "exp_avg_sq" in text  # the docstring stays


def test_a_region_outside_of_the_edition_stays_solved_and_loses_its_fence(handout):
    text = handout.files["llama.py"].decode()
    assert "x.square().mean(dim=-1, keepdim=True) + self.eps" in text and "###" not in text


def test_a_scaffold_takes_the_place_of_its_solution(tree):
    scaffold = "    ### BEGIN SCAFFOLD\n    # cosine = ...\n    # raise NotImplementedError\n"
    replace(tree / "rope.py", "    ### END SOLUTION rope\n", f"{scaffold}    ### END SOLUTION rope\n")
    text = assemble_from(tree).files["rope.py"].decode()
    assert "is wanted here.\n    cosine = ...\n    raise NotImplementedError\n" in text and "rotate(query)" not in text


def test_solving_every_todo_gives_the_solved_file_without_its_fences(handout, folder):
    for region in handout.todos:
        handout.solve(folder, region)
    for file in ("rope.py", "optimizer.py"):
        fenced = (trust.PROJECT / file).read_text().splitlines(keepends=True)
        assert (folder / file).read_text() == "".join(line for line in fenced if "### " not in line)


def test_it_has_only_its_own_edition_and_components(handout):
    parts = [name for name in handout.files if name.startswith(("courses/", "tests/"))]
    assert parts == [
        "courses/mini_llama/components/_shared/adapters/context_table.py",
        "courses/mini_llama/components/_shared/adapters/norms.py",
        "courses/mini_llama/components/adamw/adapter.py",
        "courses/mini_llama/components/adamw/references.safetensors",
        "courses/mini_llama/components/rope/adapter.py",
        "courses/mini_llama/components/rope/references.safetensors",
        "courses/mini_llama/mine.toml",
        "tests/graders/conftest.py",
        "tests/graders/test_adamw.py",
        "tests/graders/test_rope.py",
    ]
    own = ("instructor", "classroom", "cases", "oracle", "mistakes", "alternatives")
    assert not any(word in name for name in handout.files for word in own)


def test_its_readme_names_the_commands_the_points_and_the_files(handout):
    text = handout.files["README.md"].decode()
    for words in ("# Two parts", "bash setup.sh", "-m autograder check rope  ", "-m pytest tests/graders"):
        assert words in text
    assert "| rope | 15 | `rope.py`: rope, rope_frequencies |" in text


def test_it_imports_only_what_its_requirements_install(handout):
    assert "requirements-dev.txt" not in handout.files  # it has what a course forbids
    pins = [line for line in handout.files["requirements.txt"].decode().splitlines() if "==" in line]
    installed = {line.partition("==")[0] for line in pins} | {"sklearn", "scipy", "requests"}  # as parts of others
    installed |= {"setuptools"}  # what pip builds with
    own = {name.partition("/")[0].removesuffix(".py") for name in handout.files}
    for name in handout.files:
        if name.endswith(".py"):
            for module in imported(handout.files[name]) - own - sys.stdlib_module_names:
                assert module in installed, f"{name} imports {module}"


def imported(source: bytes) -> set[str]:
    """The packages that a module names in its import statements, wherever they stand."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found


def test_every_file_of_the_checklist_but_a_runs_output_is_there(handout):
    from llamalab.submission import required_files

    assert set(required_files()["Code"]) <= handout.files.keys()


def test_every_module_of_the_runtime_but_its_fast_paths_ships():
    shipped = {name for name in trust.of_handout(editions.load("mmia")) if name.startswith("llamalab/")}
    modules = {path.relative_to(trust.CODE).as_posix() for path in (trust.CODE / "llamalab").rglob("*.py")}
    assert {name for name in modules - shipped if not name.startswith("llamalab/fast/")} == set()
    assert not any(name.startswith("llamalab/fast/") for name in shipped)


# --- mistakes, each with its place -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("rope.py", "    ### END SOLUTION rope\n", "", r"rope.py:\d+: the region rope is never closed"),
        ("utils.py", "import random", "## BEGIN SOLUTION x\nimport random", r"utils.py:5: not a fence"),
        ("lora.py", "SOLUTION lora", "SOLUTION rope", r"lora.py:\d+: .*closes nothing"),
        (MINE, '"rope",', '"ropes",', r"mine.toml:12: there is no region 'ropes'; there are adamw"),
        (MINE, '"adamw"]', '"lora"]', r"mine.toml:15: the region lora is in lora.py, which is"),
        (MINE, 'regions = ["adamw"]', "", r"mine.toml:13: adamw gives points, and no region"),
        (MINE, "[components.adamw]", "[components.adam]", r"mine.toml:13: the component adam has"),
        (MINE, "points = 10", 'points = 10\nneeds = ["x"]', r"mine.toml:13: adamw needs x, which"),
        (MINE, '"utils.py"', '"util.py"', r"mine.toml:7: there is no util.py"),
        ("utils.py", "import random", "import config\nimport tests.oracle", r"utils.py:6: imports tests/oracle.py"),
    ],
)
def test_a_mistake_is_named_with_its_place(tree, file, old, new, words):
    (tree / "tests").mkdir()
    (tree / "tests/oracle.py").write_text("")
    replace(tree / file, old, new)
    with pytest.raises(UserError, match=f"^{words}"):
        assemble_from(tree)


def test_a_scaffold_that_is_no_python_is_named_with_its_place_in_the_handout(tree):
    end = "    ### END SOLUTION rope\n"
    replace(tree / "rope.py", end, f"    ### BEGIN SCAFFOLD\n    # x =\n{end}")
    with pytest.raises(UserError, match=r"^rope.py:\d+ of the handout: invalid syntax"):
        assemble_from(tree)


def test_a_region_of_one_name_in_two_files_is_named_with_both(tree):
    text = (tree / "lora.py").read_text()
    (tree / "lora.py").write_text(text.replace("SOLUTION lora", "SOLUTION rope"))
    with pytest.raises(UserError, match=r"rope.py:\d+: rope is also a region of lora.py:\d+"):
        assemble_from(tree)


def test_a_region_that_no_edition_names_is_named_with_its_place(tree):
    (tree / "utils.py").write_text("### BEGIN SOLUTION spare\nx = 1\n### END SOLUTION spare\n")
    with pytest.raises(UserError, match="^utils.py:1: no edition names the region spare"):
        assemble_from(tree)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "rope/adapter.py",
            "mine.toml:10: the component rope has no adapter.py: components/rope/adapter.py is missing",
        ),
        ("adamw/test_adamw.py", "mine.toml:13: the component adamw has no test_adamw.py: .*/test_adamw.py is missing"),
        (
            "rope/references.safetensors",
            "mine.toml:10: the component rope has no references.safetensors: components/rope/",
        ),
        ("LICENSE", ".*LICENSE belongs to a handout and cannot be read: No such file"),
    ],
)
def test_a_missing_file_is_named(tree, path, words):
    (tree / path if path == "LICENSE" else tree / COURSE / "components" / path).unlink()
    with pytest.raises(UserError, match=f"^{words}"):
        assemble_from(tree)


# --- proofs that only read ---------------------------------------------------------------------------------------


def test_the_written_folder_holds_and_gives_away_nothing_else(folder, handout):
    proofs.holds_what_was_meant(folder, handout)
    proofs.gives_nothing_away(folder, handout)


@pytest.mark.parametrize("name", [".git/HEAD", "__pycache__/rope.cpython-311.pyc", "notes.txt"])
def test_a_file_too_many_is_found(folder, handout, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("")
    with pytest.raises(UserError, match=f"{name} should not be in the handout"):
        proofs.holds_what_was_meant(folder, handout)


def test_a_missing_and_a_changed_file_are_found(folder, handout):
    (folder / "rope.py").write_text("")
    with pytest.raises(UserError, match="rope.py was not written as it was meant"):
        proofs.holds_what_was_meant(folder, handout)
    (folder / "rope.py").unlink()
    with pytest.raises(UserError, match="rope.py is missing in the handout"):
        proofs.holds_what_was_meant(folder, handout)


@pytest.mark.parametrize(
    "line",
    [
        "    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)",
        "rotated = torch.view_as_real(pairs*turns).flatten(-2).type_as(x)  # why",
        "rotated = torch.view_as_real(\n    pairs * turns\n).flatten(-2).type_as(x)",
    ],
)
@pytest.mark.parametrize("file", ["README.md", "llamalab/models.py", "sanity_check.data"])
def test_a_line_of_a_solution_is_found_in_any_file(folder, handout, file, line):
    with open(folder / file, "a", encoding="utf-8") as opened:
        opened.write(f"\n{line}\n")
    with pytest.raises(UserError, match=rf"^{file}(:\d+)?: has a line of the solution rope \(rope.py:\d+\)"):
        proofs.gives_nothing_away(folder, handout)


def test_the_place_of_a_line_in_the_solved_tree_is_right(handout):
    lines = (trust.PROJECT / "rope.py").read_text().splitlines()
    for number, bare in proofs.telling_lines(handout.todos["rope"]):
        assert bare in "".join(lines[number - 1].split())


def test_a_fence_that_is_left_is_found(folder, handout):
    (folder / "utils.py").write_text("x = 1\n### BEGIN SCAFFOLD\n")
    with pytest.raises(UserError, match="^utils.py:2: a fence is left"):
        proofs.gives_nothing_away(folder, handout)


# --- on disk -----------------------------------------------------------------------------------------------------


def test_a_release_that_is_stopped_leaves_nothing(tree, tmp_path):
    replace(tree / "utils.py", "import torch", "import torch\n# position = torch.arange(length, dtype=torch.float64)")
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"^utils.py:\d+: has a line of the solution rope_frequencies"):
        with working_in(tree):
            release.release(editions.read(tree / MINE), tmp_path / "handout")
    assert set(tmp_path.iterdir()) == before


def test_the_zip_has_the_files_in_one_top_folder(handout, tmp_path):
    release.write_archive(handout, "mine", tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {name: archive.read(f"mine/{name}") for name in handout.files} == handout.files
        assert archive.namelist() == sorted(archive.namelist()) and len(archive.namelist()) == len(handout.files)


def test_the_same_tree_gives_the_same_zip(handout, solved, tmp_path):
    release.write_archive(handout, "mine", tmp_path / "a.zip")
    release.write_archive(assemble_from(solved), "mine", tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_free_place_is_taken(tmp_path):
    release.check_destination(tmp_path / "handout", force=False)


def test_what_an_earlier_release_wrote_is_replaced_only_by_force(folder, handout, tmp_path):
    release.write_archive(handout, "handout", tmp_path / "handout.zip")
    with pytest.raises(UserError, match="handout exists; name another place, or replace it with --force"):
        release.check_destination(folder, force=False)
    release.check_destination(folder, force=True)


@pytest.mark.parametrize("name", ["handout", "handout.zip"])
def test_what_no_release_wrote_is_never_replaced(tmp_path, name):
    (tmp_path / "handout").mkdir()
    if name == "handout.zip":
        (tmp_path / "handout/.handout").write_text("")
        (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=f"{name} exists and was not written by a release"):
        release.check_destination(tmp_path / "handout", force=True)


def test_a_place_in_no_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="the folder .*nowhere does not exist"):
        release.check_destination(tmp_path / "nowhere/handout", force=False)


def test_if_it_cannot_be_moved_into_place_the_old_one_comes_back(folder, tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(OSError):
        release.move(tmp_path / "new", tmp_path / "no.zip", folder, tmp_path / "old")
    assert (folder / "rope.py").is_file() and (tmp_path / "new").is_dir() and not (tmp_path / "old").exists()
