"""Grading a class: what is done again and what is not, what goes wrong and stays where it is, and what is said."""

from __future__ import annotations

import json
import shutil
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from autograder.classroom import batch, inputs, isolation, live, marking, replay
from autograder.classroom.crew import Crew
from autograder.classroom.marking import Opened
from autograder.engine import references
from autograder.intake import opening
from llamalab.errors import UserError
from tests.graded_class import (
    RIGHT,
    WRONG,
    Borrowed,
    collected,
    folder,
    grade,
    hand_in,
    history,
    records,
    worker,
    written,
)

__all__ = ["collected", "folder", "worker"]

# --- what is graded ----------------------------------------------------------------------------------------------


def test_every_submission_gets_a_row_a_file_and_a_place_on_the_pages(folder, capsys):
    hand_in("bob", *WRONG)
    assert grade(seed=5) == 0
    found = records()
    assert found["ada"].results.earned == 12 and found["bob"].results.earned < 12
    assert found["bob"].results.components[0].match.name == "negative_angle"
    assert all(written(slug) == json.loads(record.to_json()) for slug, record in found.items())
    assert all(record.seed == 5 and record.isolation == "process" for record in found.values())
    assert Path("results/index.html").is_file() and Path("results/students/bob.html").is_file()
    out, err = capsys.readouterr()
    assert "2 students: 2 graded now, 0 unchanged" in out and "of 12" in out and "results/index.html" in out
    assert "warning: --isolation=process" in err and "[2/2]  bob" in err


def test_a_second_run_has_nothing_to_do(folder, capsys):
    grade()
    before = written("ada")
    capsys.readouterr()
    assert grade() == 0
    assert "nothing to do: 1 graded and unchanged; --regrade grades them again" in capsys.readouterr().out
    assert written("ada") == before and history() == []


def test_only_new_and_changed_submissions_are_graded(folder, capsys):
    hand_in("bob", *WRONG)
    grade(seed=5)
    hand_in("bob")
    hand_in("eve")
    capsys.readouterr()
    grade()
    out = capsys.readouterr().out
    assert "3 students: 2 graded now, 1 unchanged" in out
    assert "bob: 1.5 -> 12 of 12 (rope.py differs, seed" in out
    assert "  rope test_queries_turn_by_their_position: fail -> pass" in out
    assert records()["ada"].seed == 5 and len(history()) == 1


def test_regrading_keeps_the_old_result_and_says_who_changes_and_why(folder, monkeypatch, capsys):
    hand_in("bob")
    grade(seed=5)
    monkeypatch.setattr(inputs, "fresh", lambda edition, seed: lambda name: _impossible(references.load(edition, name)))
    monkeypatch.setattr(marking.grader_hash, "of", lambda edition: "h" * 64)
    capsys.readouterr()
    grade(seed=9, regrade=True)
    out = capsys.readouterr().out
    assert "ada: 12 -> 0 of 12 (another grader, seed 9 instead of 5)" in out
    assert out.count("rope test_keys_turn_like_queries: pass -> fail") == 2
    assert history() == [("ada", 12.0, 5), ("bob", 12.0, 5)]


def _impossible(known: references.References) -> references.References:
    """References that nobody meets."""
    wrong = {
        case: {variant: {name: value + 1 for name, value in outputs.items()} for variant, outputs in variants.items()}
        for case, variants in known.expected.items()
    }
    return replace(known, expected=wrong, questions={}, fingerprints=())


def test_a_submission_is_read_once(folder, monkeypatch):
    opened, seen = opening.open_submission, []

    def then_gone(path, edition):
        """Open a submission to look whether it changed, after which it is not there any more."""
        found = opened(path, edition)
        seen.append(path)
        shutil.rmtree(path)
        return found

    monkeypatch.setattr(opening, "open_submission", then_gone)
    Path("submissions/ada/rope.py").write_text(f"{RIGHT}# not graded before\n")
    assert grade() == 0
    assert len(seen) == 1 and records()["ada"].results.earned == 12


# --- what goes wrong ---------------------------------------------------------------------------------------------


def test_a_submission_that_breaks_the_reader_costs_nobody_else(folder, monkeypatch, capsys):
    opened = opening.open_submission

    def breaks(path, edition):
        if path.name == "bob":
            raise ZeroDivisionError("division by zero")
        return opened(path, edition)

    hand_in("bob")
    with monkeypatch.context() as patched:
        patched.setattr(opening, "open_submission", breaks)
        assert grade() == 1
    failed = records()["bob"]
    assert (failed.status, failed.files, len(failed.submission)) == ("failed", {}, 64)
    assert "(ZeroDivisionError: division by zero)" in failed.problem and records()["ada"].results.earned == 12
    assert grade() == 0 and records()["bob"].status == "graded"


def test_a_refused_submission_is_a_record_with_every_test_not_run(folder, capsys):
    with zipfile.ZipFile("submissions/eve.zip", "w") as archive:
        archive.writestr("../rope.py", "import os")
    assert grade() == 0
    refused = records()["eve"]
    assert refused.status == "refused" and refused.problem and refused.results.earned == 0
    assert {test.outcome for test in refused.results.components[0].tests} == {"not run"}
    assert len(refused.results.components[0].tests) == 6
    assert f"refused: 1\n  eve.zip: {refused.problem[:40]}" in capsys.readouterr().out.replace("eve: ", "eve.zip: ")
    grade()
    assert "nothing to do" in capsys.readouterr().out


def test_an_error_on_this_side_costs_one_submission_and_is_tried_again(folder, monkeypatch, capsys):
    hand_in("bob", *WRONG)
    right = marking.graders.grade

    def breaks(edition, tests, submission, *more):
        if WRONG[1] in submission.files["rope.py"].decode():
            raise ZeroDivisionError("division\x1b[2J by zero")
        return right(edition, tests, submission, *more)

    monkeypatch.setattr(marking.graders, "grade", breaks)
    assert grade() == 1
    failed = records()["bob"]
    assert failed.status == "failed" and records()["ada"].results.earned == 12
    assert failed.problem.startswith("grading went wrong on this side, not in the submission (ZeroDivisionError: divis")
    assert "\x1b" not in capsys.readouterr().out
    log = Path("results/failures.log").read_text()
    assert "ZeroDivisionError" in log and "\x1b" not in log
    monkeypatch.setattr(marking.graders, "grade", right)
    assert grade() == 0
    assert records()["bob"].status == "graded" and "1 graded now, 1 unchanged" in capsys.readouterr().out


def test_a_worker_that_does_not_start_stops_the_class(folder, monkeypatch):
    def absent(*_):
        raise UserError("untrusted code needs bubblewrap")

    monkeypatch.setattr(isolation, "session", absent)
    with pytest.raises(UserError, match="untrusted code needs bubblewrap"):
        grade()
    assert records() == {}


def test_a_worker_that_cannot_be_started_again_stops_the_class(folder, monkeypatch, worker):
    class Broken(Borrowed):
        def calls(self, *_):
            raise UserError("the grading worker did not start: no memory")

    monkeypatch.setattr(isolation, "session", lambda *_: Broken(worker))
    with pytest.raises(UserError, match="no memory"):
        grade(workers=2)
    assert records() == {}


def test_a_worker_that_dies_is_replaced_and_the_submission_graded(folder, monkeypatch, worker):
    class DiesOnce(Borrowed):
        def __init__(self) -> None:
            started.append(self)
            super().__init__(worker)

        def calls(self, *arguments):
            if len(started) == 1:
                raise UserError("the grading worker did not start: killed")
            return super().calls(*arguments)

    started: list[DiesOnce] = []
    monkeypatch.setattr(isolation, "session", lambda *_: DiesOnce())
    assert grade() == 0
    assert len(started) == 2 and records()["ada"].results.earned == 12


def test_two_runs_do_not_share_a_folder(folder):
    with batch._results_folder(Path("results")):
        with pytest.raises(UserError, match="results is in use by another `grade`; wait, or name another with --out"):
            grade()
    assert grade() == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workers": 0}, "--workers 0: at least 1 is needed"),
        ({"seed": -1}, "--seed -1: a seed is from 0 to 2147483647"),
        ({"seed": 1 << 31}, "--seed 2147483648: a seed is from 0"),
        ({"seconds": 0.0}, "--seconds 0: a call needs some time"),
        ({"seconds": float("nan")}, "--seconds nan: a call needs"),
        ({"memory": 0}, "--memory 0: a call needs some memory"),
        ({"edition": "none"}, "there is no edition 'none'"),
    ],
)
def test_an_argument_that_makes_no_sense_is_one_sentence(folder, change, words):
    with pytest.raises(UserError, match=words):
        grade(**change)
    assert not Path("results").exists()


# --- what is cut off ---------------------------------------------------------------------------------------------


def interrupt_after(count: int, monkeypatch) -> None:
    """Ctrl-C when so many are done."""
    shown = live.Lines.done
    seen = []

    def done(self, record):
        shown(self, record)
        seen.append(record)
        if len(seen) == count:
            raise KeyboardInterrupt

    monkeypatch.setattr(live.Lines, "done", done)


def test_ctrl_c_keeps_what_is_graded_and_the_same_command_goes_on(folder, monkeypatch, capsys):
    hand_in("bob", *WRONG)
    hand_in("eve")
    with monkeypatch.context() as patched:
        interrupt_after(1, patched)
        assert grade() == 130
    assert "what is graded is kept, and the same command goes on with the rest" in capsys.readouterr().err
    assert list(records()) == ["ada"] and not Path("results/index.html").exists()
    assert grade() == 0
    assert "where the last run was cut off; 1 unchanged" in capsys.readouterr().out
    assert len({record.seed for record in records().values()}) == 1 and len(records()) == 3


def test_a_regrading_that_was_cut_off_goes_on_too(folder, monkeypatch, capsys):
    hand_in("bob", *WRONG)
    grade(seed=5)
    with monkeypatch.context() as patched:
        interrupt_after(1, patched)
        assert grade(seed=6, regrade=True) == 130
    capsys.readouterr()
    grade(seed=6, regrade=True)
    assert "1 graded now, 1 unchanged" in capsys.readouterr().out
    assert history() == [("ada", 12.0, 5), ("bob", 1.5, 5)]
    grade(seed=6, regrade=True)
    assert len(history()) == 4


def test_files_that_a_killed_run_did_not_write_are_written(folder):
    hand_in("bob")
    grade()
    before = {slug: Path(f"results/json/{slug}.json").read_bytes() for slug in ("ada", "bob")}
    Path("results/json/ada.json").unlink()
    Path("results/json/bob.json").write_bytes(b"\xff half")
    Path("results/json/.bob.json.begun").write_bytes(b"")
    Path("results/index.html").unlink()
    assert grade() == 0
    assert {slug: Path(f"results/json/{slug}.json").read_bytes() for slug in before} == before
    assert Path("results/index.html").is_file() and not Path("results/json/.bob.json.begun").exists()


def test_leaving_a_crew_ends_its_threads_between_two_calls(worker):
    calls = []

    class Counting(Borrowed):
        def calls(self, *arguments):
            calls.append(arguments)

    class Endless(marking.Engine):
        def grade(self, found, session):
            while True:
                session.calls(None, "rope", [{}])

    with Crew(lambda: Counting(worker), 1) as crew:
        next(
            crew.grade(
                Endless(None, {}, None, 1, None), [Opened("Ada", "ada", Path("ada"), content=OSError(), sha256="")]
            )
        )
        before = threading.active_count()
        while not calls:
            time.sleep(0.001)
    assert threading.active_count() == before - 1


# --- replay ------------------------------------------------------------------------------------------------------


@pytest.fixture
def result(folder) -> Path:
    hand_in("bob", *WRONG)
    grade(seed=5)
    return Path("results/json/bob.json")


def again(result: Path, student: str = "bob") -> int:
    return replay.run(result, Path("submissions", student), "process")


def test_a_replay_says_identical_or_what_differs(result, capsys):
    capsys.readouterr()
    assert again(result) == 0
    assert capsys.readouterr().out == "identical\n"
    assert again(result, "ada") == 1
    out = capsys.readouterr().out
    assert "another submission: rope.py differs\nmarks: 1.5 -> 12 of 12\n" in out
    assert "rope test_keys_turn_like_queries: fail -> pass" in out


def test_a_replay_with_another_grader_says_so(result, monkeypatch, capsys):
    monkeypatch.setattr(marking.grader_hash, "of", lambda edition: "h" * 64)
    capsys.readouterr()
    assert again(result) == 0
    assert capsys.readouterr().out == "note: another grader than when it was graded\nidentical\n"
