"""Notebooks as submissions: the graded cells as code, and back; whatever else a file may hold is refused or ignored."""

from __future__ import annotations

import json

import pytest

from autograder.engine.session import Session
from autograder.instructor import regions
from autograder.intake import notebooks
from autograder.intake.notebooks import NotANotebook, code_of, with_code
from autograder.intake.submission import Submission
from llamalab.errors import UserError
from tests.written_course import course


def cell(source: object, *tags: str, kind: str = "code", **more: object) -> dict:
    return {"cell_type": kind, "metadata": {"tags": list(tags)}, "source": source, **more}


def notebook(*cells: object) -> bytes:
    return json.dumps({"cells": cells, "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4}).encode()


FIRST = cell(["import math\n", "x = 1"], "graded", outputs=[{"text": "x = 2"}], execution_count=3)
SECOND = cell("def f():\n    return x\n", "other", "graded")
WHOLE = notebook(cell("# Homework", "graded", kind="markdown"), FIRST, cell("x = 5"), SECOND)
CODE = "# %% cell 1\nimport math\nx = 1\n\n# %% cell 3\ndef f():\n    return x\n\n"


def test_the_graded_cells_are_the_code_each_with_its_number():
    assert code_of(WHOLE) == CODE


@pytest.mark.parametrize(
    "other",
    [
        cell("x = 9"),
        cell("x = 9", "Graded", "grade", "graded "),
        cell("x = 9", "graded", kind="markdown"),
        cell("x = 9", "graded", kind="raw"),
        {"cell_type": "code", "source": "x = 9"},
        {"cell_type": "code", "source": "x = 9", "metadata": {"tags": "graded"}},
        {"cell_type": "code", "source": "x = 9", "metadata": ["graded"]},
        {"cell_type": ["code"], "source": 9, "metadata": {"tags": ["graded"]}},
        {"metadata": {"tags": ["graded"]}},
        {},
    ],
)
def test_other_cells_are_ignored(other):
    assert code_of(notebook(SECOND, other)) == code_of(notebook(SECOND))


def test_lines_of_jupyters_own_language_become_comments():
    source = "%matplotlib inline\nif x:\n    !pip install y\n%%time\ny = 7 % 2\nz = (x\n     % 3)\nw = (x\n     != 3)"
    assert code_of(notebook(cell(source, "graded"))) == (
        "# %% cell 0\npass  # %matplotlib inline\nif x:\n    pass  # !pip install y\npass  # %%time\n"
        "y = 7 % 2\nz = (x\n     % 3)\nw = (x\n     != 3)\n\n"
    )


def test_other_code_can_be_put_into_the_graded_cells():
    changed = CODE.replace("return x", "return 2 * x\n\n\ny = 'ü'")
    again = with_code(WHOLE, changed)
    assert code_of(again) == changed
    before, after = json.loads(WHOLE), json.loads(again)
    assert after["cells"][2]["source"] == before["cells"][2]["source"] and after["metadata"] == before["metadata"]
    assert after["cells"][1]["outputs"] == [] and after["cells"][1]["execution_count"] is None
    assert "".join(after["cells"][3]["source"]) == "def f():\n    return 2 * x\n\n\ny = 'ü'"


def test_the_same_code_gives_the_same_code():
    assert code_of(with_code(WHOLE, CODE)) == CODE


@pytest.mark.parametrize(
    "code", [CODE.replace("cell 3", "cell 2"), "# %% cell 1\nx = 1\n", CODE + "# %% cell 4\nx = 1\n", "x = 1\n"]
)
def test_code_of_other_cells_is_refused(code):
    with pytest.raises(NotANotebook, match=r"the graded cells are \[1, 3\], not"):
        with_code(WHOLE, code)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a notebook: JSONDecodeError"),
        (b"x = 1\n", "not a notebook: JSONDecodeError"),
        (b"\xff\xfe\x00", "not a notebook: UnicodeDecodeError"),
        (b"[" * 200_000, "not a notebook: RecursionError"),
        (b'{"cells": ' + b"9" * 10_000 + b"}", "not a notebook: ValueError"),
        (b"[]", "it has no list of cells"),
        (b"{}", "it has no list of cells"),
        (b'{"worksheets": [{"cells": []}]}', "it has no list of cells"),
        (b'{"cells": {"0": {}}}', "it has no list of cells"),
        (notebook(3), "it has no list of cells"),
        (notebook([FIRST]), "it has no list of cells"),
        (notebook(), "no code cell has the tag 'graded'; start from the notebook that was handed out"),
        (notebook(cell("x = 1")), "no code cell has the tag 'graded'"),
        (notebook(cell(3, "graded")), "a code cell's source is neither text nor lines of text"),
        (notebook(cell({"x": 1}, "graded")), "source is neither"),
        (notebook(cell(["x", 3], "graded")), "source is neither"),
        (notebook(*[{}] * (notebooks.MOST_CELLS + 1)), "2,001 cells; at most 2,000 are read"),
        (b" " * (notebooks.LARGEST + 1), "8,388,609 bytes; at most 8,388,608 are read. Clear its outputs"),
    ],
    ids=range(18),
)
def test_what_is_no_notebook_is_refused_in_words(data, words):
    with pytest.raises(NotANotebook, match=words):
        code_of(data)


# --- as a student's file -----------------------------------------------------------------------------------------

EDITION = 'student_files = ["work.ipynb"]\n[components.part]\npoints = 10\n'
ADAPTER = """
MODULES, AXES = ("work",), {}


def run(submission, inputs, options):
    return {"value": submission.module("work").f()}
"""


def test_a_submission_has_the_code_of_its_notebook(tmp_path):
    edition = course(tmp_path, EDITION, adapter=ADAPTER)
    (tmp_path / "work.ipynb").write_bytes(WHOLE)
    submission = Submission.of(edition, tmp_path)
    assert submission.files == {"work.ipynb": CODE.encode()} and submission.sources == {"work": CODE.encode()}
    with Session() as session:
        assert session.call(submission, "part", {}).outputs == {"value": 1}
        (tmp_path / "work.ipynb").write_bytes(notebook(cell("def f():\n    return 1 / 0\n", "graded")))
        fault = session.call(Submission.of(edition, tmp_path), "part", {})
    assert fault.kind == "error" and str(fault.frames[-1]) == "work.ipynb:3  f"


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    edition = course(tmp_path, EDITION, adapter=ADAPTER)
    (tmp_path / "work.ipynb").write_text("x = 1\n")
    with pytest.raises(UserError, match="work.ipynb: not a notebook"):
        Submission.of(edition, tmp_path)


def test_a_graded_cell_may_have_a_region():
    fenced = "def f():\n    ### BEGIN SOLUTION f\n    return 1\n    ### END SOLUTION f\n"
    (region,) = regions.parse(code_of(notebook(cell(fenced, "graded"))), "work.ipynb")
    assert (region.name, region.solution) == ("f", "return 1\n")
