"""Checking a submission that may be damaged or hostile: what is refused."""

from __future__ import annotations

import os
import random
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from llamalab import submission
from tests.packed_submissions import COUNT, TOP, folder, run, write_zip

__all__ = ["folder", "run"]  # fixtures


def patch_last_entry(path: Path, offset: int, form: str, value: int) -> None:
    """Change a field of the last record of a zip's central directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.rindex(b"PK\x01\x02") + offset, value)
    path.write_bytes(data)


def refused(run, path: Path, *words: str) -> None:
    """Check must refuse a zip in one sentence with these words, and print no report."""
    status, out, err = run("check", path)
    assert (status, out) == (1, ""), err
    assert err.startswith("llamalab.submission: ") and err.count("\n") == 1
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{TOP}/../../evil.py", "leaves its folder"),
        ("../evil.py", "leaves its folder"),
        (f"{TOP}/./evil.py", "leaves its folder"),
        (f"{TOP}//evil.py", "leaves its folder"),
        ("/etc/evil", "absolute"),
        ("C:/evil.py", "absolute"),
        (f"{TOP}\\evil.py", "backslash"),
        (f"{TOP}/a\nb", "control characters"),
        (f"{TOP}/a\x1b[2J", "control characters"),
        (f"{TOP}/LLAMA.py", "appears twice"),
    ],
)
def test_hostile_names_are_refused(run, tmp_path, name, said):
    refused(run, write_zip(tmp_path / "a.zip", {name: b"x"}), said, "nothing was unpacked")
    assert os.listdir(tmp_path) == ["a.zip"]


def test_a_name_cut_short_by_a_nul_is_refused(run, tmp_path):
    path = write_zip(tmp_path / "a.zip", {f"{TOP}/x.py_hidden": b"x"})
    path.write_bytes(path.read_bytes().replace(b"x.py_hidden", b"x.py\0hidden"))
    refused(run, path, "control characters")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_are_refused(run, tmp_path):
    refused(run, write_zip(tmp_path / "a.zip", {f"{TOP}/llama.py": b"x"}), "llama.py", "appears twice")


@pytest.mark.parametrize(
    ("kind", "said"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "neither"), (stat.S_IFCHR, "neither")]
)
def test_links_and_devices_in_a_zip_are_refused(run, tmp_path, kind, said):
    info = zipfile.ZipInfo(f"{TOP}/evil")
    info.external_attr = (kind | 0o777) << 16
    refused(run, write_zip(tmp_path / "a.zip", {info: b"/etc/passwd"}), said, f"{TOP}/evil")


def test_links_in_a_folder_are_refused(run, folder):
    (folder / "passwords").symlink_to("/etc")
    refused(run, folder, "'passwords' is a link")


def test_encrypted_entries_are_refused(run, tmp_path):
    path = write_zip(tmp_path / "a.zip", {f"{TOP}/evil": b"x"})
    patch_last_entry(path, 8, "<H", 1)
    refused(run, path, f"{TOP}/evil", "is encrypted")


def test_other_compression_methods_are_refused(run, tmp_path):
    refused(run, write_zip(tmp_path / "a.zip", method=zipfile.ZIP_LZMA), "another method than deflate")


def test_a_bomb_is_refused_for_its_ratio(run, tmp_path):
    refused(run, write_zip(tmp_path / "a.zip", {f"{TOP}/bomb": bytes(1_000_000)}), f"{TOP}/bomb", "200 times")


def test_more_than_50_megabytes_unpacked_are_refused(run, tmp_path):
    some = random.Random(0)
    mild = b"".join(some.randbytes(500) + bytes(80_000) for _ in range(125))  # compresses about 140 times
    path = write_zip(tmp_path / "a.zip", {f"{TOP}/part{i}": mild for i in range(5)})
    refused(run, path, "unpacks to", "at most 50000000")


def test_more_than_a_thousand_entries_are_refused(run, tmp_path, folder):
    refused(run, write_zip(tmp_path / "a.zip", {f"{TOP}/{i}": b"" for i in range(1_000)}), f"{1_000 + COUNT} entries")
    for i in range(1_000):
        (folder / f"{i}").touch()
    refused(run, folder, "more than 1000 entries")


def test_a_zip_of_ten_megabytes_is_refused_unopened(run, tmp_path):
    (tmp_path / "a.zip").write_bytes(bytes(submission.MAX_ZIP))
    refused(run, tmp_path / "a.zip", "less than 10000000")


def test_an_entry_that_lies_about_its_size_is_wrong_and_read_no_further(run, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{TOP}/llama.py", b"x = 1\n" * 1_000)
    patch_last_entry(path, 24, "<I", 6)
    status, out, _ = run("check", path)
    assert status == 1 and "wrong" in out and "cannot be read: Bad CRC-32" in out


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04 cut off", b"\x1f\x8b a tarball"])
def test_what_is_no_zip_is_said_in_one_sentence(run, tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    refused(run, tmp_path / "a.zip", "a.zip is not a zip file")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({}, "holds nothing"),
        ({"llama.py": b"x"}, "holds llama.py"),
        ({"Makefile": b"x"}, "holds Makefile"),
        ({"A/llama.py": b"x", "A": b""}, "A"),
        ({"A/llama.py": b"x", "B/": b""}, "holds A, B"),
        ({"TURING LOVELACE/llama.py": b"x"}, "holds TURING LOVELACE"),
    ],
)
def test_there_is_exactly_one_top_folder_and_its_name_follows_the_rule(run, tmp_path, entries, said):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    refused(run, tmp_path / "a.zip", said, "SURNAME1_SURNAME2")


def test_a_folder_with_a_bad_name_is_refused(run, folder):
    refused(run, folder.rename(folder.with_name("my work")), "'my work'", "SURNAME1_SURNAME2")


def test_what_does_not_exist_is_misuse(run, tmp_path):
    status, _, err = run("check", "nowhere.zip")
    assert status == 2 and "nowhere.zip" in err
    os.mkfifo(tmp_path / "pipe")
    assert run("check", "pipe")[0] == 2
    assert run("check")[0] == 2 and run()[0] == 2


def test_a_damaged_zip_never_ends_in_a_traceback(run, tmp_path):
    sound, chosen, seen = write_zip(tmp_path / "a.zip").read_bytes(), random.Random(1), set()
    for _ in range(300):
        damaged = bytearray(sound)
        for _ in range(chosen.choice([1, 2, 4])):
            damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)
        cut = chosen.choice([len(damaged), len(damaged), chosen.randrange(len(damaged))])
        (tmp_path / "a.zip").write_bytes(damaged[:cut])
        status, out, err = run("check", "a.zip")
        assert status in (0, 1) and (out or err.count("\n") == 1)
        seen.add((status, bool(out)))
    assert {(1, False), (1, True)} <= seen
