"""What is written about a class: JSON and its schema, Gradescope, CSV, JUnit, and all files together."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from autograder import editions
from autograder.classroom import report
from autograder.classroom.gradebook import FILE, Conditions, Gradebook
from autograder.classroom.records import KEYS, SCHEMA, SCHEMA_FILE, STATUSES, Record
from autograder.classroom.reports import csv_gradebook, gradescope_results, junit
from autograder.engine.results import OUTCOMES
from llamalab.errors import UserError
from tests.grading_records import (
    HOSTILE,
    NEGATIVE,
    SEED,
    a_class,
    component,
    hostile,
    ran,
    record,
    without_marks,
)

EDITION = editions.load("mmia")
DANGEROUS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


# --- the schema -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    loaded = json.loads(SCHEMA_FILE.read_text("utf-8"))
    Draft202012Validator.check_schema(loaded)
    return Draft202012Validator(loaded)


@pytest.mark.parametrize("made", a_class(), ids=lambda made: made.slug)
def test_every_record_is_what_the_schema_says(schema, made):
    schema.validate(json.loads(made.to_json()))


def test_the_schema_knows_the_words_that_the_code_uses(schema):
    fields = schema.schema["properties"]
    assert fields["schema"]["const"] == SCHEMA and tuple(fields["status"]["enum"]) == STATUSES
    assert tuple(schema.schema["$defs"]["test"]["properties"]["outcome"]["enum"]) == OUTCOMES
    assert fields.keys() - {"schema"} == {KEYS.get(name, name) for name in Record.__dataclass_fields__}


@pytest.mark.parametrize("place", ["", "times", "results", "results.components.0", "results.components.0.tests.0"])
def test_the_schema_allows_no_other_field(schema, place):
    data = json.loads(record(component(match=NEGATIVE)).to_json())
    target = data
    for step in filter(None, place.split(".")):
        target = target[int(step) if step.isdigit() else step]
    target["forged"] = 1
    with pytest.raises(ValidationError, match="forged"):
        schema.validate(data)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "passed"},
        {"slug": "../ada"},
        {"slug": ""},
        {"seed": -1},
        {"seed": True},
        {"grader": "x"},
        {"times": {"started": "yesterday", "seconds": 1}},
        {"times": {"started": "2030-01-02T03:04:05+00:00", "seconds": -1}},
        {"files": {"rope.py": "f"}},
        {"status": "refused"},
        {
            "status": "refused",
            "problem": "",
            "results": {"track": "mmia", "earned": 0, "points": 1, "components": []},
        },
    ],
    ids=str,
)
def test_the_schema_refuses(schema, change):
    with pytest.raises(ValidationError):
        schema.validate({**json.loads(record().to_json()), **change})


# --- Gradescope -------------------------------------------------------------------------------------------------------


def outputs(made: Record) -> list[str]:
    return [entry["output"] for entry in gradescope_results.results(made)["tests"]]


def test_gradescope_gets_an_entry_for_each_component():
    rows = component("rope", "fail", "pass", points=15, match=NEGATIVE), component("adamw", points=5)
    first, second = gradescope_results.results(record(*rows))["tests"]
    assert {name: value for name, value in first.items() if name != "output"} == {
        "name": "rope",
        "number": "1",
        "score": 7.5,
        "max_score": 15,
        "status": "failed",
        "output_format": "text",
        "visibility": "visible",
        "tags": ["FAIL", "negative_angle"],
    }
    assert (second["status"], second["score"], second["tags"]) == ("passed", 5, ["ok"])


def test_gradescope_adds_up_the_entries_itself():
    made = gradescope_results.results(a_class()[1])
    assert "score" not in made and sum(entry["score"] for entry in made["tests"]) == a_class()[1].results.earned


def test_marks_are_never_rounded_up_to_full_ones():
    tests = tuple(ran("fail" if i == 0 else "pass", weight=1 if i else 1e-6, name=f"test_{i}") for i in range(9))
    assert gradescope_results.results(record(replace(component(), tests=tests)))["tests"][0]["score"] == 9.999


def test_gradescope_shows_what_explains_a_component_and_then_each_test():
    row = component(
        "rope", "fail", "fail", "pass", match=NEGATIVE, uses=("rope.py:1  imports x",), blocked_by=("layer",)
    )
    assert outputs(record(row)) == [
        "matches: rotation by the negative angle. Check the sign of the sine terms.\n"
        "not allowed: rope.py:1 imports x\n"
        "blocked by: layer\n"
        "\n"
        "wrong          Does 0 hold?\n"
        "               wrong\n"
        "wrong          Does 1 hold?\n"
        "               (as above)\n"
        "right          Does 2 hold?"
    ]


def test_gradescope_shows_what_a_failed_test_printed():
    row = replace(component(), tests=(ran("error", "boom", printed="epoch 1\nepoch 2\n"),))
    assert "it printed:\n               | epoch 1\n               | epoch 2" in outputs(record(row))[0]


def test_gradescope_says_why_a_submission_was_refused():
    made = gradescope_results.results(without_marks("refused", "the archive has a link in it: x", "eve"))
    assert made["output"].endswith("nothing of it was graded: the archive has a link in it: x")
    assert [entry["score"] for entry in made["tests"]] == [0, 0]


def test_what_went_wrong_on_this_side_is_not_told_in_detail():
    made = gradescope_results.to_json(without_marks("failed", "Errno 28: /home/prof", "eve"))
    assert "/home/prof" not in made and "on the course's side" in made


def test_grading_without_a_sandbox_is_said():
    assert "without a sandbox" in gradescope_results.results(record(isolation="process"))["output"]


@pytest.mark.parametrize("made", a_class(), ids=lambda made: made.slug)
def test_gradescope_gets_no_seed_and_nothing_endless(made):
    written = gradescope_results.to_json(made)
    assert str(SEED) not in written and len(written) < 40_000
    assert not DANGEROUS.search("".join(entry["output"] for entry in json.loads(written)["tests"]))


# --- CSV --------------------------------------------------------------------------------------------------------------


def read(records: list[Record]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_gradebook.table(records))))


def test_the_gradebook_has_a_row_a_student_and_a_column_a_component():
    rows = read(a_class())
    assert [row["student"] for row in rows[:5]] == ["Ada", "Bob", "Cem", "Dan", "Eve"]
    assert [(row["status"], row["total"], row["adamw"], row["rope"]) for row in rows[:2]] == [
        ("graded", "20", "10", "10"),
        ("graded", "5", "0", "5"),
    ]
    assert rows[1]["misconceptions"] == "adamw: no_eps; rope: negative_angle" and rows[0]["out_of"] == "20"


def test_who_has_no_marks_has_empty_cells_rather_than_zeros():
    (row,) = read([without_marks("refused", "a bomb", "eve")])
    assert (row["total"], row["adamw"], row["rope"], row["problem"]) == ("", "", "", "a bomb")


def test_marks_are_written_as_numbers_and_text_in_quotes():
    line = csv_gradebook.table([record(component("rope", "pass", "fail", "fail"))]).splitlines()[1]
    assert line.startswith('"Ada","ada","graded",3.333,10,3.333,')


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
@pytest.mark.parametrize("before", ["", " ", "\t", "\r", "\n", '"', "'", "''", '" "', "\u2028"])
def test_no_name_is_a_formula(sign, before):
    assert csv_gradebook.cell(f"{before}{sign}cmd|'/c calc'!A1").startswith("'")


@pytest.mark.parametrize("end", [";", ",", "|", "\t", ";\t", '";"', "; '"])
def test_no_formula_waits_behind_the_end_of_a_cell(end):
    """A program with another separator may begin a cell there."""
    assert not re.search("[;,|\t]['\"\\s]*=", csv_gradebook.cell(f"a{end}=1+1").replace("'", "\x00"))


@pytest.mark.parametrize("name", ["Ada Lovelace", "O'Brien-Smith", "a=b", "x@example.org", "Nguyễn, Anh", "12"])
def test_other_names_stay_as_they_are(name):
    assert csv_gradebook.cell(name) == name


def test_a_cell_is_one_short_line():
    (row,) = read([hostile()])
    assert all(len(value) <= 510 and "\n" not in value and not DANGEROUS.search(value) for value in row.values())


# --- JUnit ------------------------------------------------------------------------------------------------------------


def test_junit_has_a_suite_a_student_and_a_case_a_test():
    root = ElementTree.fromstring(junit.xml(a_class()))
    assert [suite.get("name") for suite in root] == ["ada", "bob", "cem", "dan", "eve", "mallory"]
    assert [case.get("classname") for case in root[0]] == ["ada.adamw", "ada.rope", "ada.rope"]
    assert (root[1].get("tests"), root[1].get("failures"), root[1].get("time")) == ("3", "2", "1.500")
    assert int(root.get("tests")) == sum(len(suite) for suite in root)


@pytest.mark.parametrize(
    ("outcome", "tag"),
    [("fail", "failure"), ("error", "error"), ("timeout", "error"), ("crashed", "error"), ("out of memory", "error")]
    + [("todo", "skipped"), ("not run", "skipped")],
)
def test_junit_says_how_a_test_ended(outcome, tag):
    (case,) = ElementTree.fromstring(junit.xml([record(component("rope", outcome, message="why"))]))[0]
    assert [(child.tag, "why" in child.get("message")) for child in case] == [(tag, True)]


def test_junit_counts_a_refused_submission_as_a_failure():
    suite = ElementTree.fromstring(junit.xml([without_marks("refused", "a bomb", "eve")]))[0]
    assert suite[0].find("failure").get("message") == "a bomb" and suite.get("failures") == "1"


def test_junit_is_legal_xml_whatever_was_printed():
    every = "".join(map(chr, [*range(0x300), *range(0xD7F0, 0xE010), *range(0xFFF0, 0x10010)]))
    row = replace(component(), tests=(ran("fail", every, printed=every + HOSTILE),))
    written = junit.xml([record(row, student=HOSTILE), without_marks("refused", HOSTILE, "eve")])
    written.encode("utf-8")
    assert len(ElementTree.fromstring(written)) == 2


# --- all files --------------------------------------------------------------------------------------------------------


def written(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_is_written_and_is_the_same_every_time_in_any_order(tmp_path):
    report.write(a_class(), EDITION, tmp_path / "one")
    report.write(a_class()[::-1], EDITION, tmp_path / "two")
    first = written(tmp_path / "one")
    assert first == written(tmp_path / "two")
    students = ["ada", "bob", "cem", "dan", "eve", "mallory"]
    expected = {"index.html", "gradebook.csv", "junit.xml", *(f"students/{slug}.html" for slug in students)}
    assert first.keys() == expected | {f"gradescope/{slug}.json" for slug in students}


@pytest.mark.parametrize("slug", ["../ada", "a/b", "", "a\0", "ada\n", "é"])
def test_a_slug_that_is_none_names_no_file(tmp_path, slug):
    with pytest.raises(UserError, match="cannot name a file"):
        report.write([record(slug=slug)], EDITION, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "students").write_text("in the way")
    with pytest.raises(UserError, match="students cannot be written"):
        report.write(a_class(), EDITION, tmp_path)


def test_the_command_writes_what_the_gradebook_holds(tmp_path, capsys):
    with Gradebook.of_edition(tmp_path / FILE, "mmia") as book:
        run = book.begin(Conditions("a" * 64, "bubblewrap", 10.0, 1024), SEED, False)
        book.add(run, record(slug="bob"))
        book.add(run, record(slug="ada"))
    assert report.run(tmp_path) == 0
    assert "2 students" in capsys.readouterr().out
    assert [row["id"] for row in csv.DictReader(open(tmp_path / "gradebook.csv"))] == ["ada", "bob"]


def test_the_command_needs_a_gradebook(tmp_path):
    with pytest.raises(UserError, match="gradebook.sqlite does not exist"):
        report.run(tmp_path)
