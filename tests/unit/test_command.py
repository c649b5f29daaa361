"""llamalab/command.py: how every command fails, is interrupted and loses its reader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llamalab import command
from llamalab.errors import Interrupted, Misuse, UserError

ROOT = Path(__file__).parents[2]


def run(action, *argv: str, **more) -> int:
    parser = command.parser("python -m llamalab.toy", "A toy.", "examples:\n  toy 1\n")
    parser.add_argument("--size", type=command.between(int, 1, 9), default=1)
    parser.set_defaults(run=action)
    return command.run(parser, list(argv), **more)


def failing(error: BaseException):
    def action(_options):
        print("so far")
        raise error

    return action


def script(body: str, **streams) -> subprocess.Popen:
    """A command of its own, in a process of its own."""
    code = "import sys, time\nfrom llamalab import command\nfrom llamalab.errors import *\n"
    code += f"def action(options):\n    {body}\n"
    code += "parser = command.parser('toy', 'A toy.')\nparser.set_defaults(run=action)\n"
    code += "sys.exit(command.run(parser))\n"
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True, **streams)


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (3, 3)])
def test_the_status_is_what_the_command_returned(returned, status):
    assert run(lambda options: returned) == status


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (UserError("there is no model"), 2, "there is no model"),
        (Misuse("NAME is no name"), 2, "NAME is no name"),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), 2, "a.txt: No such file or directory"),
        (OSError("the wheel is damaged"), 2, "the wheel is damaged"),
        (KeyboardInterrupt(), 130, "interrupted; nothing is left half-written"),
    ],
)
def test_a_failure_is_one_sentence_after_the_output(error, status, sentence, capsys):
    assert run(failing(error)) == status
    out, err = capsys.readouterr()
    assert (out, err.lstrip("\n")) == ("so far\n", f"llamalab.toy: {sentence}\n")


def test_a_command_may_have_another_status_for_failures_but_not_for_misuse():
    assert run(failing(UserError("x")), failed=1) == 1
    assert run(failing(OSError("x")), failed=1) == 1
    assert run(failing(Misuse("x")), failed=1) == 2


def test_a_mistake_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda options: 1 / 0)


def test_a_message_cannot_steer_the_terminal(capsys):
    assert run(failing(UserError("no file \x1b[2J\u202e"))) == 2
    assert capsys.readouterr().err == "llamalab.toy: no file \ufffd[2J\ufffd\n"


def test_a_part_still_to_be_written_is_named(capsys):
    def unwritten(options):
        raise NotImplementedError

    assert run(unwritten) == 1
    assert "not implemented yet: unwritten (" in capsys.readouterr().err


def test_a_run_that_can_be_resumed_says_how(capsys, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "train.py", "--out", "a b", "--resume"])
    assert run(failing(Interrupted())) == 130
    assert capsys.readouterr().err.endswith("go on with\n  python train.py --out 'a b' --resume\n")


@pytest.mark.parametrize(
    ("word", "reason"),
    [("0", "between 1 and 9, not 0"), ("many", "a whole number, not many"), ("\x1b", "a whole number, not \ufffd")],
)
def test_a_number_out_of_its_range_is_misuse(word, reason, capsys):
    with pytest.raises(SystemExit) as stop:
        run(lambda options: None, "--size", word)
    assert stop.value.code == 2 and f"--size: must be {reason}" in capsys.readouterr().err


def test_help_ends_with_the_examples_as_they_stand(capsys):
    with pytest.raises(SystemExit) as stop:
        run(lambda options: None, "--help")
    out = capsys.readouterr().out
    assert stop.value.code == 0 and out.startswith("usage: python -m llamalab.toy")
    assert out.endswith("examples:\n  toy 1\n")


@pytest.mark.parametrize("body", ["print('x')", "print('x' * 10**6)", "print('x'); raise UserError('unheard')"])
def test_a_reader_that_has_gone_ends_it_quietly(body):
    reader, writer = os.pipe()
    os.close(reader)
    process = script(body, stdout=writer)
    os.close(writer)
    assert process.communicate(timeout=30) == (None, "")
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_one_sentence():
    with open("/dev/full", "w") as full:
        process = script("print('x')", stdout=full)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2 and err.count("\n") == 1 and "No space left" in err


def test_ctrl_c_is_no_traceback():
    process = script("print('here', flush=True); time.sleep(60)", stdout=subprocess.PIPE)
    assert process.stdout.read(4) == "here"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "\ntoy: interrupted; nothing is left half-written\n")


def test_a_name_the_screen_cannot_show_stops_nothing():
    process = script("print('\\u043e')", stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert process.communicate(timeout=30) == ("\\u043e\n", "")


def test_it_imports_nothing_heavy():
    code = "import sys, llamalab.command; print([name for name in ('torch', 'numpy', 'rich') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "[]\n"
