"""Options: what an edition asks of a component, from its TOML to the tests that are asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograder import editions
from autograder.editions import Edition
from autograder.engine import graders, references
from autograder.engine.graders import asks
from autograder.engine.session import Session
from autograder.instructor import build_references
from autograder.intake.submission import Submission
from llamalab.errors import UserError
from tests.written_course import course

ADAPTER = """
MODULES, AXES = ("work",), {}
OPTIONS = {"by": (2, 3, 4), "sign": ("plus", "minus")}


def run(submission, inputs, options):
    value = submission.module("work").work(inputs["x"], options["by"])
    return {"value": value, "seen": sorted(options.items())}
"""
CASES = """
def cases(seed, options):
    return {"small": {"x": seed}, "large": {"x": 1000 * options["by"]}}
"""
ORACLE = """
def expected(inputs, options):
    sign = {"plus": 1, "minus": -1}[options["sign"]]
    return {"right": {"value": sign * inputs["x"] * options["by"], "seen": sorted(options.items())}}
"""
TEST = '''
import pytest

pytestmark = pytest.mark.component("part")


def test_small(judge):
    """Is it right for a small number?"""
    judge.equal("small")


@pytest.mark.option(sign="minus")
def test_minus(judge):
    """Is it right with a minus?"""
    judge.equal("large")


@pytest.mark.option(by=3, sign="plus")
def test_three(judge):
    """Is it right for three?"""
    judge.require(judge.options == {"by": 3, "sign": "plus"}, "other options", "small")
'''
TOML = """
student_files = ["work.py"]
{top}
[components.part]
points = 10
{own}
"""


def edition(folder: Path, top: str = "", own: str = "") -> Edition:
    files = {"adapter": ADAPTER, "cases": CASES, "oracle": ORACLE, "test_part": TEST}
    return course(folder, TOML.format(top=top, own=own), **files)


def test_an_option_that_an_edition_is_silent_about_has_its_first_value(tmp_path):
    assert build_references.options_of(edition(tmp_path), "part") == {"by": 2, "sign": "plus"}


def test_a_components_own_options_come_before_the_editions(tmp_path):
    mine = edition(tmp_path, "options = { by = 3, sign = 'minus' }", "options = { by = 4 }")
    assert build_references.options_of(mine, "part") == {"by": 4, "sign": "minus"}


def test_an_option_of_other_components_is_not_this_ones(tmp_path):
    assert build_references.options_of(edition(tmp_path, "options = { colour = 'red' }"), "part").keys() == {
        "by",
        "sign",
    }


@pytest.mark.parametrize("value", ["5", "'2'", "[2]"])
def test_a_value_that_a_component_does_not_know_is_named(tmp_path, value):
    mine = edition(tmp_path, own=f"options = {{ by = {value} }}")
    with pytest.raises(UserError, match="the option by of part is one of 2, 3, 4, not"):
        build_references.options_of(mine, "part")


def test_a_file_of_references_has_a_set_for_each_combination(tmp_path):
    plain, other = edition(tmp_path / "a"), edition(tmp_path / "b", own="options = { by = 3, sign = 'minus' }")
    path = tmp_path / "references.safetensors"
    path.write_bytes(references.to_bytes([build_references.draw(each, "part", seed=7) for each in (plain, other)]))
    first, second = (references.read(each, "part", path) for each in (plain, other))
    assert first.options == {"by": 2, "sign": "plus"} and second.options == {"by": 3, "sign": "minus"}
    assert first.expected["small"]["right"]["value"] == 14 and second.expected["small"]["right"]["value"] == -21
    assert first.inputs["large"] == {"x": 2000} and second.inputs["large"] == {"x": 3000}
    assert first.known_options == {"by": (2, 3, 4), "sign": ("plus", "minus")}
    third = edition(tmp_path / "c", own="options = { by = 4 }")
    with pytest.raises(UserError, match="no references for {'by': 4, 'sign': 'plus'}; make them with .*build-refer"):
        references.read(third, "part", path)


def test_build_references_writes_a_set_for_each_edition_of_a_course(tmp_path, capsys):
    first = edition(tmp_path)
    text = TOML.format(top="", own="options = { by = 3 }").replace("points = 10", "points = 0")
    (tmp_path / "mine.toml").write_text(TOML.format(top="", own="").replace("points = 10", "points = 0"))
    (tmp_path / "yours.toml").write_text(text)
    assert build_references.run([], edition=str(tmp_path / "mine.toml")) == 0
    assert "part: " in capsys.readouterr().out
    yours = editions.read(tmp_path / "yours.toml")
    assert references.load(first, "part").options["by"] == 2 and references.load(yours, "part").options["by"] == 3


@pytest.mark.parametrize(
    ("only", "options", "asked"),
    [
        ({}, {}, True),
        ({}, {"by": 2}, True),
        ({"by": 2}, {"by": 2, "sign": "plus"}, True),
        ({"by": 2}, {"by": 3}, False),
        ({"by": 2}, {}, False),
        ({"by": 2, "sign": "plus"}, {"by": 2, "sign": "minus"}, False),
    ],
)
def test_what_needs_options_is_asked_of_who_has_them(only, options, asked):
    assert asks(only, options) is asked


@pytest.fixture(scope="module")
def session():
    with Session() as session:
        yield session


@pytest.mark.parametrize(
    ("own", "source", "outcomes"),
    [
        ("", "return x * by", {"test_small": "pass"}),
        ("options = { by = 3 }", "return x * by", {"test_small": "pass", "test_three": "pass"}),
        ("options = { sign = 'minus' }", "return -x * by", {"test_small": "pass", "test_minus": "pass"}),
        ("options = { sign = 'minus' }", "return x * by", {"test_small": "fail", "test_minus": "fail"}),
    ],
)
def test_a_test_is_asked_only_where_an_edition_has_its_options(session, tmp_path, own, source, outcomes):
    """The adapter and the judge have the options; what is not asked costs nothing."""
    mine = edition(tmp_path, own=own)
    made = build_references.draw(mine, "part", seed=7)
    submission = Submission(mine, {"work.py": f"def work(x, by):\n    {source}\n".encode()})
    (row,) = graders.grade(mine, graders.collect(mine), submission, session, lambda name: made).components
    assert {test.name: test.outcome for test in row.tests} == outcomes
    assert row.earned == (10 if set(outcomes.values()) == {"pass"} else 0)


def test_sampling_is_asked_about_epsilon_only_where_the_edition_filters():
    asked = {}
    for name in ("minillama", "mmia"):
        load = editions.load(name)
        options = references.load(load, "generate_sampling").options
        tests = graders.collect(load, [load.components["generate_sampling"]])["generate_sampling"]
        asked[name] = {test.name for test in tests if asks(test.only, options)}
    assert asked["minillama"] < asked["mmia"] and len(asked["mmia"]) - len(asked["minillama"]) == 6
    assert all("epsilon" in name or "left" in name for name in asked["mmia"] - asked["minillama"])
