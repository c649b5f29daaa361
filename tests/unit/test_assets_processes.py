"""llamalab.assets where this machine says no, a signal arrives, or another process fetches the same file."""

import contextlib
import os
import resource
import signal
import tempfile
from pathlib import Path

import pytest

from llamalab import assets
from tests.toy_assets import BODY, NOWHERE, command, entry, home, left_behind, manifest, server, url

__all__ = ["home", "server"]  # fixtures


# ---- this machine says no


@contextlib.contextmanager
def read_only(folder: Path):
    """Nobody may write in `folder`, not even root, whose tests become nobody's for a while."""
    user = os.geteuid()
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for path in folders:
            path.chmod(0o755)


def test_a_read_only_home_gives_one_sentence_and_still_offers_what_it_holds(home, tmp_path, monkeypatch):
    book = manifest(tmp_path, entry("here", NOWHERE) + entry("there", NOWHERE))
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, which only its owner may enter
        monkeypatch.setenv("LLAMALAB_HOME", folder)
        Path(folder, "ckpt").mkdir()
        Path(folder, "ckpt", "here.bin").write_bytes(BODY)
        with read_only(Path(folder)):
            here, there = assets.fetch(["here", "there"], manifest=book)
    assert here.state == "found"
    assert there.state == "failed"
    assert there.note.startswith(f"cannot write in {folder}") and "LLAMALAB_HOME" in there.note


def test_a_full_disk_is_noticed_before_the_download(server, home, tmp_path):
    book = manifest(tmp_path, entry("toy", url(server, "toy"), size=10**18))
    (result,) = assets.fetch("toy", manifest=book)
    assert result.state == "failed" and "no room in" in result.note and "1.0 EB" in result.note
    assert server.requests == []


def test_a_write_that_fails_half_way_gives_one_sentence_and_leaves_nothing(server, home, tmp_path):
    server.files["toy"] = BODY
    manifest(tmp_path, entry("toy", url(server, "toy")))

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = command("fetch", "toy", "--manifest", tmp_path / "manifest.toml", preexec_fn=small_files_only)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "cannot write" in out and "File too large" in out and "Traceback" not in err
    assert left_behind(home) == []


# ---- other processes


def test_two_processes_fetching_at_once_both_succeed_with_one_download(server, home, tmp_path):
    server.files["toy"], server.manner["toy"] = BODY, "slow"
    manifest(tmp_path, entry("toy", url(server, "toy")))
    first = command("fetch", "toy", "--manifest", tmp_path / "manifest.toml")
    assert server.half_sent.wait(10)
    second = command("fetch", "toy", "--manifest", tmp_path / "manifest.toml")
    assert "another process is fetching it; waiting" in second.stderr.readline()
    server.go_on.set()
    outputs = [process.communicate(timeout=20)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert "fetched" in outputs[0] and "found" in outputs[1]
    assert len(server.requests) == 1
    assert (home / "ckpt/toy.bin").read_bytes() == BODY


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_download_says_so_and_leaves_nothing(server, home, tmp_path, number, status):
    server.files["toy"], server.manner["toy"] = BODY, "slow"
    manifest(tmp_path, entry("toy", url(server, "toy")))

    def heed_interrupts():  # a shell may have started the tests with SIGINT ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = command("fetch", "toy", "--manifest", tmp_path / "manifest.toml", preexec_fn=heed_interrupts)
    assert server.half_sent.wait(10)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == status
    assert "Traceback" not in err
    assert number != signal.SIGINT or err.rstrip().endswith("interrupted; nothing is left half-written")
    assert left_behind(home) == []


def test_what_a_killed_process_left_is_cleared_by_the_next_fetch(server, home, tmp_path):
    server.files["toy"], server.manner["toy"] = BODY, "slow"
    book = manifest(tmp_path, entry("toy", url(server, "toy")))
    process = command("fetch", "toy", "--manifest", tmp_path / "manifest.toml")
    assert server.half_sent.wait(10)
    process.kill()
    process.communicate(timeout=20)
    assert any(name.endswith(".partial") for name in left_behind(home))
    server.go_on.set()
    assets.fetch("toy", manifest=book)
    assert left_behind(home) == ["ckpt/toy.bin"]
