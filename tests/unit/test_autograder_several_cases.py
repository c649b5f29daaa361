"""Cases of a component that share a process: sooner, and with the same marks. The worker is the real one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from autograder import editions
from autograder.engine import graders
from autograder.engine.claims import Answer, CaseLimits, Fault, Limits
from autograder.engine.results import ComponentResult
from autograder.engine.session import Session
from autograder.intake.submission import Submission

EDITION = editions.load("mmia")
CASES = [
    {"query": np.full((1, 2, 3, 4), number, "f4"), "key": np.ones((1, 2, 1, 4), "f4"), "max_seq_len": 2}
    for number in range(3)
]
SECONDS = 2.0
NO_LIMITS = CaseLimits()
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

Run = Callable[..., list[Answer | Fault]]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session(Limits(seconds=20, memory=256 << 20)) as session:
        yield session


@pytest.fixture
def run(session, tmp_path) -> Run:
    """What comes back for three cases, whose queries are all 0, all 1 and all 2."""

    def run(body: str, top: str = "", limits: CaseLimits = NO_LIMITS) -> list[Answer | Fault]:
        return session.calls(submission(tmp_path, body, top), "rope", CASES, limits=limits)

    return run


def submission(folder: Path, body: str, top: str = "") -> Submission:
    """One whose ``apply_rotary_emb`` has this body."""
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    text = f"import os, sys, time, torch\n{top}\ndef apply_rotary_emb(query, key, *rest):\n{indented}"
    (folder / "rope.py").write_text(text, "utf-8")
    return Submission.of(EDITION, folder)


def values(results: list[Answer | Fault]) -> list[float | str]:
    """The first number of every query that came back; the kind of a fault."""
    return [result.outputs["query"].flat[0] if isinstance(result, Answer) else result.kind for result in results]


# --- what a session gives ----------------------------------------------------------------------------------------


@posix
def test_each_case_gets_its_own_answer_from_one_process(run):
    assert values(run("return query + 10, key")) == [10, 11, 12]
    assert len(set(values(run("return query * 0.0 + os.getpid() % 65536, key")))) == 1


def test_the_students_files_are_run_anew_for_every_case(run):
    body = "calls.append(1)\nreturn query * 0 + len(calls), key"
    assert values(run(body, top="calls = []")) == [1, 1, 1]


def test_random_numbers_begin_anew_for_every_case(run):
    assert len(set(values(run("return torch.rand(1, 2, 3, 4), key")))) == 1
    body = "import random, numpy\nreturn query * 0 + random.random() + numpy.random.rand(), key"
    assert len(set(values(run(body)))) == 1


def test_an_error_costs_its_own_case(run):
    assert values(run("assert query.max() != 1\nreturn query, key")) == [0, "error", 2]


def test_a_process_that_ends_answers_no_more_cases(run):
    assert values(run("if query.max() == 1:\n    os._exit(3)\nreturn query, key")) == [0, "crashed"]


def test_every_case_has_its_own_time(run):
    assert values(run(f"time.sleep({0.6 * SECONDS})\nreturn query, key", limits=CaseLimits(seconds=SECONDS))) == [
        0,
        1,
        2,
    ]
    assert values(
        run("time.sleep(60 * query.max().item())\nreturn query, key", limits=CaseLimits(seconds=SECONDS))
    ) == [0, "slow"]


def test_every_case_has_its_own_output(run):
    results = run("print('case', int(query.max()))\nsys.stderr.write('err')\nreturn query, key")
    assert [result.printed for result in results] == [f"case {n}\nerr" for n in range(3)]


def test_what_is_printed_on_the_way_to_an_end_is_kept(run):
    results = run("print('case', int(query.max()))\nif query.max() == 1:\n    os._exit(3)\nreturn query, key")
    assert [result.printed for result in results] == ["case 0\n", "case 1\n"]


def test_answering_ahead_of_time_answers_nothing_else(run):
    """Whole answers written before they are asked for are thrown away, or spoil an answer; neither forges one."""
    top = "from autograder.worker import processes\nwrite = processes.write_all\n"
    top += "processes.write_all = lambda number, data: write(number, data * 3)\n"
    assert set(values(run("return query, key", top=top))) <= {0, 1, 2, "bad_answer", "crashed"}
    assert values(run("return query, key")) == [0, 1, 2]


@posix
def test_all_time_used_up_ends_a_process_between_two_cases(tmp_path):
    slow = submission(tmp_path, "time.sleep(0.6)\nreturn query, key")
    with Session(Limits(seconds=20, total=0.5)) as session:
        assert values(session.calls(slow, "rope", CASES)) == [0]
        (result,) = session.calls(slow, "rope", CASES)
        assert result.kind == "not_run" and "0.5 s are allowed" in result.message


# --- what that means for marks -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def collected():
    return graders.collect(EDITION, [EDITION.components["rope"]])


@pytest.fixture
def graded(session, collected, tmp_path) -> Callable[..., ComponentResult]:
    """The component of a submission: the solved tree's ``rope.py``, whose every call does something more."""

    def graded(more: str, limits: Limits | None = None) -> ComponentResult:
        indented = "".join(f"    {line}\n" for line in more.splitlines())
        text = (EDITION.files / "rope.py").read_text("utf-8")
        text += "\n\nimport os, sys, time\nright = apply_rotary_emb\ndef apply_rotary_emb(query, *rest, **named):\n"
        text += f"    result = right(query, *rest, **named)\n{indented}    return result\n"
        (tmp_path / "rope.py").write_text(text, "utf-8")
        mine = Submission.of(EDITION, tmp_path)
        if limits is None:
            return graders.grade(EDITION, collected, mine, session).components[0]
        with Session(limits) as own:
            return graders.grade(EDITION, collected, mine, own).components[0]

    return graded


def outcomes(row: ComponentResult) -> set[str]:
    return {test.outcome for test in row.tests}


@posix
@pytest.mark.parametrize(
    "more",
    [
        "if hasattr(torch, 'seen'):\n    os._exit(3)\ntorch.seen = True",
        "if hasattr(torch, 'seen'):\n    return query * 2, query\ntorch.seen = True",
        "torch.set_default_dtype(torch.float64)\ntorch.set_default_device('meta')\ntorch.set_grad_enabled(False)",
        "sys.kept = [*getattr(sys, 'kept', []), bytearray(100 << 20)]",
    ],
)
def test_what_a_case_leaves_behind_costs_another_no_marks(graded, more):
    assert outcomes(graded(more)) == {"pass"}


@posix
def test_a_wrong_answer_is_judged_in_a_process_of_its_own(graded):
    row = graded("assert query.shape[1] != 1, 'one position'")
    wrong = [test for test in row.tests if test.outcome != "pass"]
    assert [test.name for test in wrong] == ["test_the_first_position_is_left_alone"]
    assert "one position" in wrong[0].message


@posix
def test_a_hang_takes_no_more_time_than_that_of_two_cases(graded, tmp_path):
    mark = tmp_path / "tried"
    row = graded(f"open({str(mark)!r}, 'a').write('x')\ntime.sleep(60)", Limits(seconds=SECONDS))
    assert outcomes(row) == {"timeout", "not run"} and mark.read_text() == "xx"


@posix
def test_a_file_that_does_not_end_is_run_once_and_named(tmp_path):
    (tmp_path / "rope.py").write_text("while True:\n    pass\n", "utf-8")
    (tmp_path / "llama.py").write_text((EDITION.files / "llama.py").read_text("utf-8"), "utf-8")
    stuck = Submission.of(EDITION, tmp_path)
    with Session(Limits(seconds=SECONDS)) as session:
        first, second = (session.call(stuck, "rope", CASES[0]) for _ in range(2))
        assert first.kind == "timeout" and "rope.py was still being imported" in first.message
        assert second.kind == "import_error" and "still being imported after 2 s" in second.message
        assert session.call(stuck, "whole", {}).kind == "import_error"


@posix
def test_a_function_that_does_not_end_is_named(run):
    body = "def inner():\n    while True:\n        pass\ninner()"
    (result,) = run(body, limits=CaseLimits(seconds=SECONDS))
    assert result.message == "no answer within 2 s: it was still in apply_rotary_emb of rope.py"
