"""Checking a submission that may be incomplete or wrong."""

from __future__ import annotations

import pytest

from tests.packed_submissions import COUNT, TOP, folder, run, write_zip

__all__ = ["folder", "run"]  # fixtures


def test_a_complete_folder_passes(run, folder):
    status, out, err = run("check", folder)
    assert (status, err) == (0, "") and f"complete, all {COUNT} files" in out and "Warnings" not in out


def test_the_zip_may_be_named_without_its_suffix(run, tmp_path):
    write_zip(tmp_path / f"{TOP}.zip")
    assert run("check", TOP)[0] == 0


def test_missing_files_are_reported_under_their_section(run, folder):
    (folder / "lora.py").unlink()
    (folder / "cfimdb-dev-lora-output.txt").unlink()
    status, out, _ = run("check", folder)
    code, runs = out.split("\nOutput of the runs\n")
    assert status == 1 and "missing" in code and code.startswith("Code\n")
    assert "--option lora" in runs and out.endswith(f"not complete: 2 missing of {COUNT} files\n")


def test_extras_are_warnings(run, folder):
    (folder / "notes").mkdir()
    (folder / "notes" / "todo.txt").write_text("x")
    status, out, _ = run("check", folder)
    assert status == 0
    assert out.split("Warnings\n")[1].split("\n")[0].split(maxsplit=3)[::2] == ["extra", "notes/todo.txt"]


def test_a_name_that_only_looks_right_is_shown_for_what_it_is(run, folder):
    (folder / "rope.py").rename(folder / "r\u043epe.py")  # a Cyrillic o
    status, out, _ = run("check", folder)
    assert status == 1 and r"'r\u043epe.py'" in out


def test_names_cannot_speak_to_the_terminal(run, folder):
    (folder / "x\x1b[2J\u202e").write_text("x")
    out = run("check", folder)[1]
    assert "\x1b" not in out and "\u202e" not in out and r"x\x1b[2J\u202e" in out


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"x = 1\n\ndef f(:\n    pass\n", "rope.py, line 3: "),
        (b"x = 1\x00\n", "rope.py, line 1: "),
        (b"x = '\xff'\n", "rope.py"),
        (b"# coding: nonsense\nx = 1\n", "unknown encoding"),
        (b"-" * 100_000 + b"1\n", "nested too deeply"),
        (b"x = 1\n" * 200_000, "at most 500000 are read"),
    ],
)
def test_python_that_does_not_parse_is_wrong(run, folder, source, said):
    (folder / "rope.py").write_bytes(source)
    status, out, _ = run("check", folder)
    assert status == 1 and "wrong" in out and said in out and f"1 wrong of {COUNT}" in out


@pytest.mark.filterwarnings("error")
def test_python_that_only_warns_is_right(run, folder):
    (folder / "rope.py").write_text("x = '\\d' is 'd'\n")
    status, _, err = run("check", folder)
    assert (status, err) == (0, "")


def test_python_is_parsed_and_never_executed(run, folder, tmp_path):
    (folder / "rope.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(7)\n")
    assert run("check", folder)[0] == 0
    assert not (tmp_path / "ran").exists() and not list(folder.glob("__pycache__"))


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        (b"3 ||| good\n\n2 ||| bad\n", 2),
        (b"3 ||| good\ngood ||| 3\n", 2),
        (b"3 || good\n", 1),
        (b"-1 ||| unknown is no prediction\n", 1),
        (b"3 ||| good\n2.0 ||| bad\n1\n", 2),
        (b"3 ||| good\n3|||bad\n", 2),
        (b"3 ||| \xff\n", 1),
        ("\u0663 ||| an Arabic 3\n".encode(), 1),
    ],
)
def test_the_first_line_that_is_no_prediction_is_named(run, folder, lines, number):
    (folder / "sst-dev-lora-output.txt").write_bytes(lines)
    status, out, _ = run("check", folder)
    assert status == 1 and f"sst-dev-lora-output.txt, line {number} is not" in out


@pytest.mark.parametrize(
    "lines", [b"0 ||| a ||| b", b"12 ||| a\r\n0 ||| b\r\n", b"1 |||\r\n", "1 ||| a\u2028b\x85\n".encode()]
)
def test_unusual_predictions_are_right(run, folder, lines):
    (folder / "sst-dev-lora-output.txt").write_bytes(lines)
    assert run("check", folder)[0] == 0
