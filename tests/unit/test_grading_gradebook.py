"""The gradebook on disk: what is kept, what is refused, what survives a kill, and what a person can ask it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from autograder.classroom.gradebook import Conditions, Gradebook
from autograder.classroom.records import Record
from autograder.engine.results import ComponentResult, Match, Results, TestResult
from autograder.trust import CODE
from llamalab.errors import UserError

CONDITIONS = Conditions("g" * 64, "bubblewrap", 10.0, 1024)
MATCH = Match("negative_angle", "rotation by the negative angle", "Check the sign")


def made(slug: str = "ada", outcome: str = "pass", **more) -> Record:
    tests = (TestResult("test_keys", "Right?", 1.0, outcome), TestResult("test_queries", "Right?", 3.0, "pass"))
    row = ComponentResult("rope", 10.0, tests, match=None if outcome == "pass" else MATCH)
    fields = {
        "student": slug.title(),
        "slug": slug,
        "edition": "mmia",
        "status": "graded",
        "source": f"{slug}.zip",
        "submission": "5" * 64,
        "files": {"rope.py": "f" * 64},
        "ignored": ("notes.txt",),
        "grader": CONDITIONS.grader,
        "seed": 7,
        "isolation": "bubblewrap",
        "results": Results("mmia", (row,)),
        "environment": {"seconds": "10", "memory": "1024", "python": "3.11.0"},
        "times": {"started": "2030-01-01T00:00:00+00:00", "seconds": 1.5},
    }
    return Record(**{**fields, **more})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gradebook.sqlite"


@pytest.fixture
def book(path):
    with Gradebook.of_edition(path, "mmia") as book:
        yield book


@pytest.fixture
def run(book):
    return book.begin(CONDITIONS, seed=7, regrade=False)


def asked(path, query: str) -> list[tuple]:
    """What any program reads."""
    database = sqlite3.connect(path)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def test_records_come_back_in_the_order_of_their_slugs(book, run, path):
    for slug in ("bob", "ada"):
        book.add(run, made(slug))
    book.close()
    with Gradebook(path) as again:
        assert again.edition == "mmia" and again.records() == [made("ada"), made("bob")]


def test_only_the_latest_of_a_student_counts_and_the_old_one_is_history(book, run, path):
    book.add(run, made(outcome="fail"))
    book.add(run, made())
    assert book.records() == [made()]
    assert asked(path, "SELECT student, earned FROM results") == [("Ada", 10.0)]
    assert asked(path, "SELECT student, earned FROM history") == [("Ada", 7.5)]


def test_a_person_can_ask_for_the_outcomes_of_every_test(book, run, path):
    book.add(run, made(outcome="timeout"))
    query = "SELECT student, component, test, outcome FROM outcomes ORDER BY test"
    assert asked(path, query) == [
        ("Ada", "rope", "test_keys", "timeout"),
        ("Ada", "rope", "test_queries", "pass"),
    ]
    assert asked(path, "SELECT component, earned, misconception FROM components") == [("rope", 7.5, "negative_angle")]
    assert asked(path, "SELECT file FROM files") == [("rope.py",)]
    assert ("python", "3.11.0") in asked(path, "SELECT name, value FROM environment")
    assert asked(path, "SELECT submission, grader, seed, isolation, seconds FROM results") == [
        ("5" * 64, "g" * 64, 7, "bubblewrap", 1.5)
    ]


def test_an_edition_is_a_track_in_the_file_as_in_the_first_gradebooks(book, run, path):
    book.add(run, made(outcome="fail"))
    assert asked(path, "SELECT track FROM about") == [("mmia",)]
    assert asked(path, "SELECT misconception FROM components") == [("negative_angle",)]
    ((text,),) = asked(path, "SELECT record FROM gradings")
    kept = json.loads(text)
    assert kept["track"] == kept["results"]["track"] == "mmia"
    assert not {"edition", "mistake"} & {*kept, *kept["results"]}


def test_text_that_is_no_unicode_is_kept_in_the_record_and_readable_in_the_tables(book, run, path):
    odd = made(student="half \udcff\0 and = a formula")
    book.add(run, odd)
    assert book.records() == [odd]
    assert asked(path, "SELECT student FROM results") == [("half ?? and = a formula",)]


def test_a_run_that_was_cut_off_is_found_until_it_is_finished(book, path):
    assert book.unfinished() is None
    run = book.begin(CONDITIONS, seed=3, regrade=True)
    book.close()
    with Gradebook(path) as again:
        assert again.unfinished() == run
        again.finish(run)
        assert again.unfinished() is None


def test_changes_compare_with_what_was_before_the_run(book, run):
    old = made(outcome="fail")
    book.add(run, old)
    book.add(run, made("bob"))
    again = book.begin(CONDITIONS, seed=8, regrade=True)
    book.add(again, made(status="failed", seed=8))
    book.add(again, made(seed=8))
    assert book.changes(again) == [(old, made(seed=8))]


def test_a_record_that_breaks_halfway_leaves_no_trace(book, run, path):
    book.add(run, made(outcome="fail"))
    row = made().results.components[0]
    twice = replace(made(), results=Results("mmia", (row, row)))
    with pytest.raises(UserError):
        book.add(run, twice)
    assert book.records() == [made(outcome="fail")]
    assert asked(path, "SELECT count(*) FROM tests") == [(2,)]


def test_what_was_added_is_there_after_a_kill(path):
    program = """
import os, signal, sys
from pathlib import Path
from tests.unit.test_grading_gradebook import CONDITIONS, made
from autograder.classroom.gradebook import Gradebook

book = Gradebook.of_edition(Path(sys.argv[1]), "mmia")
run = book.begin(CONDITIONS, 7, False)
book.add(run, made("ada"))
book._database.execute("BEGIN IMMEDIATE")
book._database.execute("UPDATE gradings SET earned = 99")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program, path], cwd=CODE, capture_output=True, timeout=60)
    assert done.returncode == -9, done.stderr
    with Gradebook(path) as book:
        assert book.records() == [made("ada")] and book.unfinished().seed == 7
    assert asked(path, "SELECT earned FROM results") == [(10.0,)]


def test_a_gradebook_is_read_while_it_is_written(book, run, path):
    book.add(run, made())
    with Gradebook(path) as reader:
        book.add(run, made("bob"))
        assert len(reader.records()) == 2


# --- files that are refused --------------------------------------------------------------------------------------


def test_a_gradebook_that_does_not_exist_is_not_made(path):
    with pytest.raises(UserError, match="gradebook.sqlite does not exist; `python -m autograder grade` writes one"):
        Gradebook(path)
    assert not path.exists()


def test_another_editions_gradebook_is_refused(book, path):
    with pytest.raises(UserError, match="is of the edition mmia, not minillama; name another folder with --out"):
        Gradebook.of_edition(path, "minillama")


def test_a_newer_gradebook_is_refused(book, path):
    book._database.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="was written by a newer version of this program"):
        Gradebook(path)


def test_another_programs_database_is_refused(path):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE bookmarks (page TEXT)")
    database.close()
    with pytest.raises(UserError, match="is not a gradebook"):
        Gradebook.of_edition(path, "mmia")


def test_a_file_that_is_no_database_is_refused(path):
    path.write_text("not a database " * 100)
    with pytest.raises(UserError, match=r"is damaged \(file is not a database\); put back a copy of it"):
        Gradebook.of_edition(path, "mmia")


def test_a_damaged_gradebook_is_refused(book, run, path):
    for number in range(20):
        book.add(run, made(f"student{number}"))
    book.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 8192 + whole[16384:])
    with pytest.raises(UserError, match="is damaged"):
        Gradebook(path)


def test_a_record_that_cannot_be_read_is_damage(book, run, path):
    book.add(run, made())
    book._database.execute("UPDATE gradings SET record = '{}'")
    with pytest.raises(UserError, match="a record is unreadable: not a record of llamalab-grading/1"):
        book.records()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        Gradebook.of_edition(tmp_path / "nowhere" / "gradebook.sqlite", "mmia")
