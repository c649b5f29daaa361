"""Which files `replay` takes. What it says of them is in `test_grading_batch.py`, where there are results."""

from __future__ import annotations

import json

import pytest

from autograder.classroom import replay
from llamalab.errors import UserError
from tests.unit.test_grading_gradebook import made


def test_a_result_is_read_as_it_was_written(tmp_path):
    (tmp_path / "bob.json").write_text(made(outcome="fail").to_json())
    assert replay.read(tmp_path / "bob.json") == made(outcome="fail")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"seed": "5"},
        {"status": "perfect"},
        {"schema": "other"},
        {"results": None},
        {"environment": {}},
        {"slug": 5},
        {"more": 1},
    ],
)
def test_a_file_that_is_no_result_is_refused(tmp_path, change):
    (tmp_path / "bob.json").write_text(json.dumps({**json.loads(made().to_json()), **change}))
    with pytest.raises(UserError, match="bob.json is not a result of `grade`"):
        replay.read(tmp_path / "bob.json")


def test_marks_that_do_not_follow_from_outcomes_are_refused(tmp_path):
    data = json.loads(made(outcome="fail").to_json())
    data["results"]["earned"] = 10
    (tmp_path / "bob.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match="marks do not follow from the tests' outcomes"):
        replay.read(tmp_path / "bob.json")


def test_a_submission_that_is_not_there_is_named(tmp_path):
    (tmp_path / "bob.json").write_text(made("bob").to_json())
    with pytest.raises(UserError, match="zoe.zip does not exist; name what Bob handed in"):
        replay.run(tmp_path / "bob.json", tmp_path / "zoe.zip", "process")
