"""What a submission can do to the process that runs it, and what is said about it. The worker is the real one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from autograder import editions, trust
from autograder.engine.claims import Answer, Fault, Limits
from autograder.engine.session import Session
from autograder.intake.submission import Submission
from llamalab.errors import UserError

INPUTS = {
    "query": np.arange(24, dtype="f4").reshape(1, 2, 3, 4),
    "key": np.ones((1, 2, 1, 4), "f4"),
    "max_seq_len": 2,
}
RIGHT = "def apply_rotary_emb(query, key, head_dim, max_seq_len, theta=10000.0):\n    return query * 2, key\n"
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def session():
    with Session(Limits(seconds=5, memory=256 << 20)) as session:
        yield session


@pytest.fixture(scope="module")
def hasty():
    with Session(Limits(seconds=0.5, memory=256 << 20)) as session:
        yield session


@pytest.fixture
def run(session, tmp_path):
    """What comes back for a ``rope.py`` with this text, or whose ``apply_rotary_emb`` has this body."""

    def run(body: str = "", text: str = "", session: Session = session) -> Answer | Fault:
        indented = "".join(f"    {line}\n" for line in body.splitlines())
        (tmp_path / "rope.py").write_text(
            text or f"import os, sys, torch\ndef apply_rotary_emb(query, key, *rest):\n{indented}", "utf-8"
        )
        return session.call(submission_in(tmp_path), "rope", INPUTS)

    return run


def submission_in(folder: Path) -> Submission:
    return Submission.of(editions.load("mmia"), folder)


def assert_still_works(run) -> None:
    answer = run(text=RIGHT)
    assert isinstance(answer, Answer) and answer.outputs["query"].tolist() == (INPUTS["query"] * 2).tolist()


def test_an_answer_comes_back_with_its_shapes_and_dtypes(run):
    answer = run("return query.double(), key.bool()")
    assert answer.outputs["query"].dtype == "f8" and answer.outputs["query"].shape == (1, 2, 3, 4)
    assert answer.outputs["key"].dtype == bool


def test_a_region_that_is_not_written_is_to_do_with_its_place(run):
    fault = run('raise NotImplementedError("rope: rotate query and key")')
    assert fault.kind == "todo" and str(fault.frames[-1]) == "rope.py:3  apply_rotary_emb"


def test_not_implemented_by_torch_is_an_error_and_not_to_do(run):
    assert run("return torch.nn.Module()(query)").kind == "error"


def test_an_error_shows_the_students_lines_only(run):
    fault = run("half = query.shape[-1] / 2\nreturn query[..., :half], key")
    assert fault.kind == "error" and fault.message.startswith("TypeError: ")
    assert [(frame.file, frame.line, frame.source) for frame in fault.frames] == [
        ("rope.py", 4, "return query[..., :half], key")
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = (\n", "SyntaxError: '(' was never closed"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("raise NotImplementedError('all of it')\n", "NotImplementedError: all of it"),
    ],
)
def test_a_file_that_does_not_import_is_an_import_error(run, text, words):
    fault = run(text=text)
    assert fault.kind == "import_error" and words in fault.message and fault.frames[-1].file == "rope.py"


def test_a_missing_file_is_named(session, tmp_path):
    (tmp_path / "llama.py").write_text("")
    fault = session.call(submission_in(tmp_path), "rope", INPUTS)
    assert fault.kind == "import_error" and "rope.py is missing" in fault.message


def test_a_broken_file_does_not_matter_to_a_component_of_another(session, tmp_path):
    (tmp_path / "llama.py").write_text("import sys; sys.exit(3)")
    (tmp_path / "rope.py").write_text("from llama import Llama, RMSNorm\nclass Mine(RMSNorm): pass\n" + RIGHT)
    assert isinstance(session.call(submission_in(tmp_path), "rope", INPUTS), Answer)


def test_a_missing_file_is_not_replaced_by_the_solution(session, tmp_path):
    (tmp_path / "rope.py").write_text("import llama\nx = llama.Llama(1)\n" + RIGHT)
    assert session.call(submission_in(tmp_path), "rope", INPUTS).kind == "import_error"


def test_a_submission_cannot_shadow_other_modules(session, tmp_path):
    for name in ("torch", "json", "config", "autograder", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "rope.py").write_text("import json, torch, config\nassert config.LlamaConfig\n" + RIGHT)
    assert isinstance(session.call(submission_in(tmp_path), "rope", INPUTS), Answer)


@pytest.mark.parametrize("body", ["while True: pass", "import time; time.sleep(60)"])
def test_a_hang_is_a_timeout(run, hasty, body):
    fault = run(body, session=hasty)
    assert fault.kind == "timeout" and "0.5 s" in fault.message
    answer = run(text=RIGHT, session=hasty)
    assert isinstance(answer, Answer)


def test_a_hang_at_import_is_a_timeout(run, hasty):
    assert run(text="while True: pass\n", session=hasty).kind == "timeout"


def test_what_was_printed_before_a_hang_is_kept(run, hasty):
    assert run("print('step 1')\nwhile True: pass", session=hasty).printed == "step 1\n"


def test_reading_from_the_keyboard_finds_nothing(run):
    assert "EOFError" in run("return input(), key").message


@posix
@pytest.mark.parametrize("body", ["x = [0] * (1 << 30)", "x = torch.zeros(1 << 30)", "x = bytearray(1 << 40)"])
def test_too_much_memory_is_named(run, body):
    fault = run(f"{body}\nreturn query, key")
    assert fault.kind == "memory" and "256 MB" in fault.message
    assert_still_works(run)


@posix
@pytest.mark.parametrize("body", ["os.abort()", "os.kill(os.getpid(), 9)", "import ctypes; ctypes.string_at(0)"])
def test_a_crash_costs_one_call(run, body):
    fault = run(body)
    assert fault.kind == "crashed" and "SIG" in fault.message
    assert_still_works(run)


def test_leaving_early_is_no_answer(run):
    fault = run("os._exit(0)")
    assert fault.kind == "crashed" and "status 0" in fault.message


@posix
def test_killing_the_whole_worker_costs_one_call(run):
    fault = run("os.kill(os.getppid(), 9)\nimport time; time.sleep(5)")
    assert fault.kind == "crashed"
    assert_still_works(run)


def test_sys_exit_is_an_error(run):
    assert run("sys.exit(0)").message == "SystemExit: 0"


def test_endless_recursion_is_an_error(run):
    assert run("return apply_rotary_emb(query, key)").message.startswith("RecursionError")


def test_an_exception_that_resists_description_is_named(run):
    text = "class Bad(Exception):\n    def __str__(self): raise Bad()\n" + RIGHT.replace(
        "return", "raise Bad()\n    return"
    )
    assert run(text=text).message == "Bad"


def test_printing_does_not_reach_the_protocol(run):
    message = "print('\\0\\0\\0\\x02{}', flush=True)\nos.write(1, b'\\0\\0\\0\\2{}')\nos.write(2, b'noise')\n"
    answer = run(f"{message}return query, key")
    assert isinstance(answer, Answer) and "noise" in answer.printed


def test_a_flood_of_output_is_cut(run):
    answer = run("for _ in range(300): print('x' * 100_000)\nreturn query, key")
    assert isinstance(answer, Answer) and len(answer.printed) == 8192


def test_terminal_escapes_and_invalid_text_are_made_harmless(run):
    answer = run("os.write(1, b'\\x1b[2J\\x00\\xff\\r\\n')\nreturn query, key")
    assert answer.printed == "\ufffd[2J\ufffd\ufffd\n"


@posix
def test_garbage_on_every_descriptor_forges_nothing(run):
    write = "try: os.write(fd, b'\\0\\0\\0\\x02{}' * 99)\n    except OSError: pass"
    fault = run(f"for fd in range(1024):\n    {write}\nreturn query, key")
    assert isinstance(fault, Fault) and fault.kind == "bad_answer"
    assert_still_works(run)


def test_only_the_first_answer_counts(run):
    twice = "from autograder.worker import processes\nwrite = processes.write_all\n"
    twice += "processes.write_all = lambda fd, data: write(fd, data + data)\n"
    answer = run(f"{twice}return query, key")
    assert isinstance(answer, Answer) and answer.outputs.keys() == {"query", "key"}


def test_a_huge_answer_is_refused(run):
    fault = run("return torch.zeros(20_000_000), key")
    assert fault.kind == "bad_answer" and "too large" in fault.message


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("None", "apply_rotary_emb returned NoneType; (query, key) was expected"),
        ("query", "apply_rotary_emb returned Tensor; (query, key) was expected"),
        ("query, key, key", "apply_rotary_emb returned 3 values; (query, key) was expected"),
        ("(x for x in (query, key))", "returned generator"),
        ("query.numpy(), key", "query came back as ndarray; a tensor was expected"),
        ("query.to('meta'), key", "query is a tensor that cannot be read"),
        ("(query, key), key", "query came back as tuple with Tensor inside; a tensor was expected"),
    ],
)
def test_an_answer_of_the_wrong_type_is_described(run, result, words):
    fault = run(f"return {result}")
    assert fault.kind == "bad_answer" and words in fault.message


@pytest.mark.parametrize(
    "expression",
    ["query.expand(1, 2, 3, 4)", "query.mT.contiguous().mT", "query.to_sparse()", "query.requires_grad_()"],
)
def test_unusual_tensors_are_read_for_what_they_are(run, expression):
    assert run(f"return {expression}, key").outputs["query"].tolist() == INPUTS["query"].tolist()


def test_bfloat16_can_be_named(run):
    assert run("return query.bfloat16(), key").outputs["query"].dtype.names == ("bfloat16",)


def test_every_call_has_the_same_random_numbers(run):
    first, second = (run("return torch.rand_like(query), key").outputs["query"] for _ in range(2))
    assert np.array_equal(first, second)


def test_nothing_is_left_of_an_earlier_call(run):
    run("torch.set_default_dtype(torch.float64)\ntorch.multiply = None\nreturn query, key")
    assert run("return torch.multiply(torch.ones(1, 2, 3, 4), query), key").outputs["query"].dtype == "f4"


@posix
def test_what_a_call_started_ends_with_it(run, tmp_path):
    mark = tmp_path / "alive"
    run(f"if os.fork() == 0:\n    import time; time.sleep(0.7); open({str(mark)!r}, 'w').close()\nreturn query, key")
    run("import time; time.sleep(1)\nreturn query, key")
    assert not mark.exists()


def test_a_worker_that_does_not_start_is_explained(tmp_path):
    (tmp_path / "rope.py").write_text(RIGHT)
    with Session(command=[sys.executable, "-c", "raise SystemExit('no sandbox here')"]) as session:
        with pytest.raises(UserError, match="no sandbox here"):
            session.call(submission_in(tmp_path), "rope", INPUTS)


def test_a_folder_without_a_submission_is_refused(tmp_path):
    with pytest.raises(UserError, match="has none of the files"):
        submission_in(tmp_path)


def test_the_worker_finds_no_solution_on_its_path(run):
    text = f"import sys\nassert {str(trust.CODE)!r} not in sys.path and '' not in sys.path, sys.path\n" + RIGHT
    assert isinstance(run(text=text), Answer)
