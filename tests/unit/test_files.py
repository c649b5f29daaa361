"""llamalab/files.py: a file is there whole or as it was, and a lock goes with its process."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llamalab import files
from llamalab.errors import UserError

ROOT = Path(__file__).parents[2]
BUSY = "somebody else has it; wait for them"


def permissions(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_the_file_appears_whole_and_nothing_else_does(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with files.atomic(path, durable=True) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
        assert os.path.dirname(file.name) == str(tmp_path)
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, "old"])
def test_whatever_goes_wrong_leaves_what_was_there(tmp_path, error, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    with pytest.raises(error), files.atomic(path) as file:
        file.write(b"half")
        raise error
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ([old] if old else [])


def test_a_library_may_write_by_name(tmp_path):
    with files.atomic(tmp_path / "a") as file, open(file.name, "wb") as library:
        library.write(b"by name")
    assert (tmp_path / "a").read_bytes() == b"by name"


def test_permissions_are_the_umasks_or_those_given(tmp_path, umask):
    files.write_text(tmp_path / "usual", "x")
    umask(0o077)
    files.write_text(tmp_path / "private", "x")
    files.write_text(tmp_path / "public", "x", mode=0o644)
    found = {path.name: permissions(path) for path in tmp_path.iterdir()}
    assert found == {"usual": 0o644, "private": 0o600, "public": 0o644}


def test_a_secret_is_never_readable_on_its_way(tmp_path, umask):
    umask(0)
    with files.atomic(tmp_path / "secret", mode=0o600) as file:
        assert stat.S_IMODE(os.stat(file.name).st_mode) == 0o600
    assert permissions(tmp_path / "secret") == 0o600


@pytest.mark.parametrize("place", ["no/such/a.txt", "file/a.txt", "folder"])
def test_an_error_names_the_file_that_was_asked_for(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError) as caught:
        files.write_text(tmp_path / place, "x")
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / place), None)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, files.atomic(tmp_path / "a"):
        open(tmp_path / "source")
    assert caught.value.filename == str(tmp_path / "source")


def test_a_link_is_followed_and_a_long_name_fits(tmp_path):
    (tmp_path / "link").symlink_to("real")
    files.write_text(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "x"
    longest = tmp_path / ("é" * 127)
    files.write_text(longest, "x")
    assert longest.read_text() == "x"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    files.write_text(tmp_path / "pipe", "x")
    reader.join(10)
    assert read == ["x"] and (tmp_path / "pipe").is_fifo()


def test_text_keeps_its_line_ends_and_tensors_their_values(tmp_path):
    files.write_text(tmp_path / "text", "é\r\nb\n")
    assert (tmp_path / "text").read_bytes() == "é\r\nb\n".encode()
    whole = torch.arange(6.0).reshape(2, 3)
    files.write_tensors(tmp_path / "t.safetensors", {"turned": whole.T}, {"what": "test"})
    assert (tmp_path / "t.safetensors").stat().st_mode == (tmp_path / "text").stat().st_mode
    assert torch.equal(load_file(tmp_path / "t.safetensors")["turned"], whole.T)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.safetensors", "text"]


# --- locks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def holder(tmp_path):
    """Another process that has the lock, until its input ends."""
    code = "import sys; from llamalab import files\n"
    code += "with files.locked(sys.argv[1], ''): print(flush=True), sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process


def test_a_second_one_is_told_in_one_sentence(tmp_path, holder):
    with pytest.raises(UserError, match=BUSY), files.locked(tmp_path / "lock", BUSY):
        raise AssertionError("two have it")


def test_the_lock_goes_when_its_process_is_killed(tmp_path, holder):
    holder.kill()
    holder.wait()
    with files.locked(tmp_path / "lock", BUSY) as held:
        assert held


def test_who_waits_says_so_and_gets_it(tmp_path, holder, capsys):
    threading.Timer(0.3, holder.stdin.close).start()
    with files.locked(tmp_path / "lock", BUSY, wait=True) as held:
        assert held
    assert capsys.readouterr().err == f"{BUSY}\n"


def test_it_can_be_taken_again_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError), files.locked(tmp_path / "lock", BUSY):
            raise ValueError


def test_a_lock_that_cannot_be_made_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, files.locked(tmp_path / "no/lock", BUSY):
        pass
    assert str(caught.value.filename) == str(tmp_path / "no/lock")
