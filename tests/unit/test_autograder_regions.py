"""Fences: which regions they make, what a change puts into them, and how a mistake in either is reported."""

from __future__ import annotations

import pytest

from autograder.instructor import bank, regions
from autograder.instructor.bank import Alternative, Body, Edit, File, FileEdit
from llamalab.errors import UserError

FENCED = "def f():\n    ### BEGIN SOLUTION one\n    return 1\n    ### END SOLUTION one\n"


def test_a_region_has_its_lines_dedented():
    (region,) = regions.parse(FENCED, "a.py")
    assert (region.name, region.first, region.last, region.indent, region.solution) == ("one", 1, 3, 4, "return 1\n")


def test_a_regions_name_may_have_digits():
    text = FENCED.replace("SOLUTION one", "SOLUTION bf16_w2v")
    assert [region.name for region in regions.parse(text, "a.py")] == ["bf16_w2v"]
    with pytest.raises(UserError, match="a.py:2: not a fence"):
        regions.parse(FENCED.replace("SOLUTION one", "SOLUTION 1one"), "a.py")


def test_a_scaffold_is_uncommented():
    text = FENCED.replace("    ### END", "    ### BEGIN SCAFFOLD\n    # if x:\n    #     ...\n    #\n    ### END")
    (region,) = regions.parse(text, "a.py")
    assert region.solution == "return 1\n" and region.scaffold == "if x:\n    ...\n\n"


def test_a_replaced_region_keeps_what_is_around_it():
    (region,) = regions.parse(FENCED, "a.py")
    assert regions.replace(FENCED, [(region, "if x:\n\n    return 2")]) == FENCED.replace(
        "    return 1\n", "    if x:\n\n        return 2\n"
    )
    assert regions.replace(FENCED, [(region, "pass")], keep_fences=False) == "def f():\n    pass\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("### BEGIN SOLUTION one\n", "a.py:1: the region one is never closed"),
        ("### END SOLUTION one\n", "a.py:1: '### END SOLUTION one' closes nothing"),
        (FENCED.replace("END SOLUTION one", "END SOLUTION two"), "a.py:4: '### END SOLUTION two' closes nothing"),
        (FENCED.replace("    ### END", "  ### END"), "a.py:4: .* at its indent"),
        (FENCED.replace("END SOLUTION one", "END SOLUTION"), "a.py:4: not a fence"),
        (FENCED.replace("### BEGIN", "## BEGIN"), "a.py:2: not a fence"),
        (FENCED.replace("### BEGIN", "### begin"), "a.py:2: not a fence"),
        (FENCED.replace("### BEGIN", "#### BEGIN"), "a.py:2: not a fence"),
        (FENCED.replace("BEGIN SOLUTION", "BEGIN SOLUTIONS"), "a.py:2: not a fence: '### BEGIN SOLUTIONS one'; write"),
        (FENCED.replace("BEGIN SOLUTION", "BEGIN SOLUTOIN"), "a.py:2: not a fence"),
        (FENCED.replace("BEGIN SOLUTION", "BEGN SOLUTION"), "a.py:2: not a fence"),
        (FENCED.replace("BEGIN SOLUTION", "BEGIN_SOLUTION"), "a.py:2: not a fence"),
        (FENCED.replace("BEGIN SOLUTION one", "BEGIN SOLUTION: one"), "a.py:2: not a fence"),
        (FENCED.replace("    ### END", "    x = 1  ### END"), "a.py:4: not a fence"),
        (FENCED.replace("END SOLUTION", "END OF SOLUTION"), "a.py:4: not a fence"),
        (FENCED.replace("    return 1", "    ### BEGIN SCAFOLD"), "a.py:3: not a fence"),
        (FENCED.replace("SOLUTION one\n    return", "SOLUTION One\n    return"), "a.py:2: not a fence"),
        (FENCED.replace("return 1", "### BEGIN SOLUTION two"), "a.py:3: two begins inside one"),
        (FENCED + FENCED, "a.py:6: a second region named one"),
        ("### BEGIN SCAFFOLD\n", "a.py:1: a scaffold stands once inside a solution"),
        (FENCED.replace("    return 1", "    ### BEGIN SCAFFOLD\n    return 1"), "a.py:4: a scaffold is commented out"),
    ],
)
def test_a_broken_fence_is_named_with_its_place(text, words):
    with pytest.raises(UserError, match=words):
        regions.parse(text, "a.py")


@pytest.mark.parametrize(
    "comment", ["# the end of the solution", "### Response:", "# ends with a solid line", "x = '#'"]
)
def test_other_comments_are_no_fences(comment):
    assert regions.parse(f"{comment}\n{FENCED}", "a.py") == regions.parse(f"\n{FENCED}", "a.py")


def test_a_region_in_two_files_is_named_with_both_places():
    with pytest.raises(UserError, match="b.py:2: one is also a region of a.py:2"):
        regions.parse_all({"a.py": FENCED, "b.py": FENCED})


# --- changes -----------------------------------------------------------------------------------------------------

FILES = {"a.py": FENCED, "b.py": "x = 1\n"}


@pytest.mark.parametrize(
    ("change", "file", "text"),
    [
        (Edit("one", "return 1", "return 2"), "a.py", FENCED.replace("return 1", "return 2")),
        (Body("one", "\nx = 2\nreturn x\n"), "a.py", FENCED.replace("return 1", "x = 2\n    return x")),
        (FileEdit("b.py", "1", "3"), "b.py", "x = 3\n"),
        (File("b.py", "\ny = 1\n"), "b.py", "y = 1\n"),
    ],
)
def test_a_change_changes_one_file(change, file, text):
    assert bank.apply(Alternative("mine", [change]), FILES) == {**FILES, file: text}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Edit("two", "", ""), "mine: there is no region 'two'; there are one"),
        (Edit("one", "x", "y"), "mine: 'x' occurs 0 times in the region one"),
        (FileEdit("a.py", "SOLUTION", "y"), "mine: 'SOLUTION' occurs 2 times in a.py"),
        (Edit("one", "return 1", "return 1"), "mine: changes nothing"),
    ],
)
def test_a_change_that_does_not_fit_is_named(change, words):
    with pytest.raises(UserError, match=words):
        bank.apply(Alternative("mine", [change]), FILES)
