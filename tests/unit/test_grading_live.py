"""What an instructor sees while a class is graded and at its end. Names are hostile."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from autograder.classroom import live, summary
from autograder.engine.results import ComponentResult, Results, TestResult
from llamalab import command
from tests.unit.test_grading_gradebook import made


def terminal(view_of: live.LiveTable) -> str:
    return view_of._console.file.getvalue()


def test_the_live_table_has_a_row_a_submission_and_no_control_characters(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=20, color_system=None)
    with live.LiveTable(3, console) as view:
        view.started("ada", "Ada \x1b]0;title\x07[bold]")
        view.done(made("ada", student="Ada \x1b]0;title\x07[bold]", status="refused"))
        view.started("bob", "Bob")
        view.refresh()
    shown = terminal(view)
    assert "Ada \ufffd]0;title\ufffd[bold]" in shown and "refused" in shown and "running" in shown
    assert "1/3" in shown and "left" in shown and "\x1b]0" not in shown


def test_the_live_table_shows_what_fits_on_the_screen():
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=12, color_system=None)
    with live.LiveTable(15, console) as view:
        for number in range(15):
            view.done(made(f"student{number:02}", student=f"student{number:02}"))
        console.file.truncate(0)
    last = terminal(view)
    assert "student14" in last and "student05" not in last


def test_a_name_is_printed_where_the_screen_has_no_such_characters(monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    parser = command.parser("grade", "Grade.")
    parser.set_defaults(run=lambda _: print("Zo\u00eb", flush=True))
    command.run(parser, [])
    assert screen.buffer.getvalue() == b"Zo\\xeb\n"


def test_marks_are_cut_and_not_rounded_up():
    almost = Results(
        "mmia", (ComponentResult("rope", 10, (TestResult("a", "?", 999, "pass"), TestResult("b", "?", 1, "fail"))),)
    )
    assert live.marks(made(results=almost)) == "9.9/10"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.24, "4.2 s"), (42.4, "42 s"), (59.9, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_are_read_easily(seconds, words):
    assert live.duration(seconds) == words


def test_the_summary_has_what_an_instructor_asks_first():
    records = [made("ada"), made("bob", outcome="fail"), made("eve", status="refused", problem="a bomb")]
    assert summary.of_class(records, 2, 1, Path("results/index.html")).splitlines() == [
        "3 students: 2 graded now, 1 unchanged",
        "marks: mean 8.8, median 8.8 of 10",
        "slowest: Ada, 1.5 s",
        "refused: 1",
        "  Eve: a bomb",
        "pages: results/index.html",
    ]


def test_a_submission_that_gives_other_marks_by_itself_is_named():
    words = summary.changes([(made(outcome="fail"), made())])
    assert words.startswith("Ada: 7.5 -> 10 of 10 (nothing else differs: this submission is not repeatable)\n")
