"""Marks, states, and the table that a student reads."""

from __future__ import annotations

import json
from dataclasses import replace

from autograder.engine.results import ComponentResult, Match, Results, TestResult
from autograder.engine.table import table


def ran(outcome: str = "pass", weight: float = 1.0, message: str = "", printed: str = "") -> TestResult:
    return TestResult(f"test_{outcome}", "Is it right?", weight, outcome, message, printed)


def component(*tests: TestResult, points: float = 10, **more) -> ComponentResult:
    return ComponentResult("rope", points, tests, **more)


def shown(*components: ComponentResult) -> list[str]:
    return table(Results("mmia", components)).splitlines()


def test_marks_are_the_share_of_weights_that_passed():
    assert component(ran(weight=3), ran("fail", weight=1)).earned == 7.5


def test_only_a_pass_earns():
    outcomes = ("fail", "todo", "error", "timeout", "out of memory", "crashed", "not run")
    assert all(component(ran(outcome)).earned == 0 for outcome in outcomes)


def test_a_component_without_tests_earns_nothing():
    assert component().earned == 0 and component().state == "FAIL"


def test_states():
    assert component(ran()).state == "ok"
    assert component(ran(), ran("fail")).state == "FAIL"
    assert component(ran("fail"), ran("todo")).state == "todo"


def test_a_forbidden_use_costs_what_the_edition_says():
    row = component(ran(), uses=("rope.py:1  imports transformers",), cost=0.25)
    assert row.earned == 7.5 and row.state == "FAIL"


def test_results_survive_json():
    row = component(ran(), ran("fail", message="wrong", printed="x"), match=Match("a", "b", "c"), blocked_by=("rope",))
    results = Results("mmia", (row,))
    assert Results.from_dict(json.loads(results.to_json())) == results


def test_a_finished_component_is_one_line():
    assert shown(component(ran())) == ["rope              10/10    ok"]


def test_what_is_to_do_is_shown_with_its_place():
    row = component(ran("todo", message="llama.py:118  compute_query_key_value_scores"), points=15)
    assert shown(row) == ["rope              0/15     todo  llama.py:118  compute_query_key_value_scores"]


def test_a_failure_is_explained_and_recognised():
    match = Match("negative_angle", "rotation by the negative angle", "Check the sign")
    assert shown(component(ran(weight=4), ran("fail", message="wrong from position 1 on\nfirst at"), match=match)) == [
        "rope              8/10     FAIL  wrong from position 1 on",
        "                                 first at",
        "                                 matches: rotation by the negative angle. Check the sign.",
    ]


def test_an_outcome_other_than_a_wrong_answer_is_named():
    assert shown(component(ran("timeout", message="no answer within 10 s")))[0].endswith(
        "FAIL  timeout: no answer within 10 s"
    )


def test_an_error_that_stops_several_components_is_told_once():
    broken = ran("error", message="cannot be imported: SyntaxError: oops\n  llama.py:3  <module>")
    rows = shown(component(broken), component(ran("error", message="other")), replace(component(broken), name="layer"))
    assert rows[1].strip() == "llama.py:3  <module>"
    assert rows[3] == "layer             0/10     FAIL  error: cannot be imported: SyntaxError: oops (see rope)"
    assert rows[4].startswith("total")


def test_what_else_fails_is_listed_unless_it_says_the_same():
    rows = shown(component(ran("fail", message="a"), ran("fail", message="a"), ran("fail", message="b")))
    assert [line.strip() for line in rows[1:]] == ["also fails: Is it right?"]


def test_output_is_shown_on_failure_only_and_cut():
    printed = "".join(f"{i}\n" for i in range(30))
    rows = shown(component(ran("fail", message="wrong", printed=printed)))
    assert rows[1].strip() == "it printed:" and rows[2].strip() == "| 0" and rows[-1].strip() == "| ... 20 more lines"
    assert len(shown(component(ran(printed=printed)))) == 1


def test_almost_full_marks_do_not_look_full():
    assert "9.9/10" in shown(component(ran(weight=999), ran("fail")))[0]


def test_a_row_without_points_shows_none_and_names_what_blocks_it():
    row = component(ran("fail", message="wrong"), points=0, blocked_by=("attention", "layer"))
    assert "/" not in shown(row)[0] and shown(row)[-1].strip() == "blocked by: attention, layer"


def test_several_components_have_a_sum():
    assert shown(component(ran()), component(ran("fail", message="wrong")))[-1] == "total             10/20"
