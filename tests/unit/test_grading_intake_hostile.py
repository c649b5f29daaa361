"""Submissions that are links, devices, bombs, lies or noise: one sentence, soon, in little memory, and nothing else."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import socket
import stat
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder.intake import entries, folders, tars
from autograder.intake.opening import Refused, open_submission
from autograder.intake.submission import LARGEST
from llamalab import text
from tests.handed_in import (
    CONTAINERS,
    EDITION,
    FILES,
    LLAMA,
    ROPE,
    every_container,
    hand_in,
    reason,
    submit,
    tar_header,
    zip_of,
)

__all__ = ["submit"]

every_archive = pytest.mark.parametrize("container", CONTAINERS[1:])


def special(kind: int, target: bytes = b"/etc/passwd", name: str = "rope.py") -> bytes:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return zip_of([("llama.py", LLAMA), (info, target)])


@pytest.mark.parametrize("name", ["rope.py", "data/link"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (stat.S_IFLNK, "symbolic link"),
        (stat.S_IFIFO, "named pipe"),
        (stat.S_IFCHR, "device"),
        (stat.S_IFBLK, "device"),
        (stat.S_IFSOCK, "special file"),
    ],
)
def test_a_zip_with_anything_but_files_and_folders_is_refused(submit, kind, said, name):
    assert f"'{name}' is a {said}" in reason(submit(special(kind, name=name)))


@pytest.mark.parametrize("name", ["rope.py", "data/link"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "named pipe"),
        (tarfile.GNUTYPE_SPARSE, "sparse file"),
        (b"Q", "unknown kind"),
    ],
)
def test_a_tar_with_anything_but_files_and_folders_is_refused(submit, kind, said, name):
    said = "tar entry of an unknown kind" if kind == b"Q" else said
    archive = tar_header(b"llama.py") + tar_header(name.encode(), kind) + bytes(1024)
    assert f"'{name}' is a {said}" in reason(submit(archive))


@pytest.mark.parametrize("target", ["/etc/passwd", "llama.py", "nowhere", "."])
def test_a_symbolic_link_in_a_folder_is_refused(submit, target):
    path = submit({"llama.py": LLAMA})
    (path / "rope.py").symlink_to(target)
    assert "'rope.py' is a symbolic link" in reason(path)


def test_a_linked_folder_is_refused_and_not_entered(submit, tmp_path):
    path = submit({"llama.py": LLAMA})
    (path / "data").symlink_to(tmp_path)
    assert "'data' is a symbolic link" in reason(path)


def test_a_submission_that_is_a_link_is_refused(submit, tmp_path):
    (tmp_path / "eve").symlink_to(submit(FILES))
    assert "it is a symbolic link" in reason(tmp_path / "eve")


def test_a_students_file_with_a_second_name_elsewhere_is_refused(submit, tmp_path):
    path = submit({"llama.py": LLAMA})
    (tmp_path / "solution.py").write_bytes(ROPE)
    (path / "rope.py").hardlink_to(tmp_path / "solution.py")
    assert "'rope.py' is a hard link" in reason(path)


@pytest.mark.parametrize("name", ["rope.py", "log"])
def test_a_pipe_in_a_folder_is_refused_without_waiting_for_it(submit, name):
    path = submit({"llama.py": LLAMA})
    os.mkfifo(path / name)
    assert f"'{name}' is a named pipe" in reason(path)


def test_a_socket_in_a_folder_is_refused(submit, monkeypatch):
    path = submit({"llama.py": LLAMA})
    monkeypatch.chdir(path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("rope.py")
        assert "'rope.py' is a special file" in reason(path)


def test_a_submission_that_is_a_pipe_or_a_device_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "named pipe" in reason(tmp_path / "pipe")
    assert "device" in reason(Path("/dev/null"))


def test_a_file_that_becomes_something_else_while_it_is_opened_is_refused(submit, tmp_path, monkeypatch):
    path = submit(FILES)
    monkeypatch.setattr("autograder.intake.folders.kind_of", lambda mode: entries.FILE)
    (path / "rope.py").unlink()
    os.mkfifo(path / "rope.py")
    assert "'rope.py' is a" in reason(path)
    (path / "rope.py").unlink()
    (path / "rope.py").symlink_to(path / "llama.py")
    assert "'rope.py' cannot be read" in reason(path)


def test_a_submission_that_is_gone_is_refused(tmp_path):
    assert "'ada' cannot be read (No such file or directory)" in reason(tmp_path / "ada")


def test_an_unreadable_file_is_refused(submit, monkeypatch):
    path, opened = submit(FILES), folders.opened

    def forbid(name: str | Path, folder: int | None = None) -> int:
        if name == "rope.py":
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return opened(name, folder)

    monkeypatch.setattr(folders, "opened", forbid)
    assert "'rope.py' cannot be read (Permission denied)" in reason(path)


def test_a_file_that_vanishes_while_the_folder_is_read_is_refused(submit, monkeypatch):
    path, place_of = submit(FILES), entries.place_of

    def vanish(name: str) -> entries.Place:
        (path / "rope.py").unlink(missing_ok=True)
        return place_of(name)

    monkeypatch.setattr(entries, "place_of", vanish)
    assert "'rope.py' cannot be read (No such file or directory)" in reason(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"Rar!\x1a\x07\x00", b"7z\xbc\xaf'\x1c", b"%PDF-1.4", bytes(2000)])
def test_a_file_that_is_no_archive_is_refused(submit, content):
    assert "neither a folder nor a zip or tar archive" in reason(submit(content))


@every_container
def test_a_students_file_may_have_256_kibibytes_and_no_more(submit, container):
    largest = {"llama.py": b"#" * LARGEST}
    assert open_submission(submit(largest, container), EDITION).files == largest
    assert "'llama.py' is larger than 262,144 bytes" in reason(submit({"llama.py": b"#" * (1 << 21)}, container))


@every_container
def test_too_many_entries_are_refused(submit, container, monkeypatch):
    monkeypatch.setattr(entries, "MAX_ENTRIES", 50)
    monkeypatch.setattr("autograder.intake.folders.MAX_ENTRIES", 50)
    files = {f"{number}.txt": b"" for number in range(48)} | FILES
    assert open_submission(submit(files, container), EDITION).files == FILES
    assert "more than 50 files and folders" in reason(submit({**files, "one more": b""}, container))


def test_copies_of_the_students_files_are_read_up_to_a_limit(submit, monkeypatch):
    monkeypatch.setattr(entries, "MAX_READ", 3 * len(LLAMA))
    files = {f"{'d/' * depth}llama.py": LLAMA for depth in range(4)}
    assert "copies of the student's files" in reason(submit(files, "zip"))


def test_an_archive_of_more_than_100_mebibytes_is_refused_unread(tmp_path):
    path = tmp_path / "ada.zip"
    with open(path, "wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate((100 << 20) + 1)
    assert "larger than 104,857,600 bytes" in reason(path)


def measured(path: Path) -> tuple[str, float, float]:
    """Why a submission is refused, and the processor's seconds and mebibytes that it took."""
    started = time.process_time()
    reason(path)
    seconds = time.process_time() - started
    tracemalloc.start()
    try:
        return reason(path), seconds, tracemalloc.get_traced_memory()[1] / (1 << 20)
    finally:
        tracemalloc.stop()


ZEROS = bytes(1 << 20)


@pytest.mark.parametrize("container", ["tar.gz", "tar.bz2", "tar.xz"])
def test_a_packed_bomb_ends_soon_and_in_little_memory(submit, container):
    start = tar_header(b"huge", b"0", b"\x80" + (1 << 40).to_bytes(11, "big"))
    packers = {
        "tar.gz": zlib.compressobj(1, wbits=31),
        "tar.bz2": bz2.BZ2Compressor(),
        "tar.xz": lzma.LZMACompressor(preset=0),
    }
    packer = packers[container]
    said, seconds, memory = measured(
        submit(packer.compress(start) + b"".join(packer.compress(ZEROS) for _ in range(20)) + packer.flush())
    )
    assert "more than 100 times its size" in said and seconds < 2 and memory < 12


def test_a_tar_may_unpack_to_so_many_bytes_and_no_more(submit, monkeypatch):
    monkeypatch.setitem(tars.PACKINGS, b"\x1f\x8b", replace(tars.PACKINGS[b"\x1f\x8b"], limit=1 << 20))
    assert "unpacks to more than 1,048,576 bytes" in reason(submit({**FILES, "data": ZEROS}, "tar.gz"))


def test_a_large_log_that_packs_well_is_no_bomb(submit):
    assert open_submission(submit({**FILES, "log": ZEROS * 2}, "tar.gz"), EDITION).files == FILES
    assert open_submission(submit({**FILES, "log": ZEROS * 2}, "zip"), EDITION).files == FILES


def test_a_zip_bomb_is_refused_by_what_it_says_of_itself(submit):
    assert "more than 100 times its size" in reason(submit({**FILES, "log": ZEROS * 20}, "zip"))


def with_sizes(archive: bytes, packed: int | None, unpacked: int | None) -> bytes:
    """A zip of one entry whose headers say these sizes."""
    changed = bytearray(archive)
    for start, at in ((0, 18), (archive.index(b"PK\x01\x02"), 20)):
        for offset, value in ((at, packed), (at + 4, unpacked)):
            if value is not None:
                changed[start + offset : start + offset + 4] = struct.pack("<I", value)
    return bytes(changed)


@pytest.mark.parametrize("size", [0, 1, len(LLAMA) - 1, len(LLAMA) + 1, 1 << 20])
def test_a_zip_that_lies_about_a_size_is_refused(submit, size):
    assert "zip" in reason(submit(with_sizes(zip_of([("llama.py", LLAMA)]), None, size)))


def test_a_zip_that_says_a_huge_file_is_small_is_not_believed(submit):
    said, seconds, memory = measured(submit(with_sizes(zip_of([("llama.py", ZEROS * 20)]), None, 100)))
    assert "damaged" in said and seconds < 1 and memory < 8


def test_entries_that_overlap_are_refused(submit):
    archive = bytearray(zip_of([("llama.py", LLAMA), ("hama.txt", LLAMA)]))
    second = archive.index(b"PK\x01\x02", archive.index(b"PK\x01\x02") + 1)
    archive[second + 42 : second + 46] = bytes(4)  # the first entry's bytes
    assert "overlaps" in reason(submit(bytes(archive)))


def test_a_zip_that_is_all_table_of_contents_is_refused_before_it_is_read(submit):
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9, 9, 6 << 20, 4, 0)
    said, _, memory = measured(submit(b"PK\x03\x04" + bytes(6 << 20) + end))
    assert "table of contents is too long" in said and memory < 8


def test_an_encrypted_zip_is_refused(submit):
    archive = bytearray(zip_of([("llama.py", LLAMA)]))
    archive[6] |= 1
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    assert "'llama.py' is encrypted" in reason(submit(bytes(archive)))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_packed_in_a_way_that_cannot_be_limited_is_refused(submit, method):
    assert "unusual method" in reason(submit(zip_of(FILES.items(), method)))


def test_a_stored_zip_and_one_with_large_sizes_are_opened(submit):
    assert open_submission(submit(zip_of(FILES.items(), zipfile.ZIP_STORED)), EDITION).files == FILES
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in FILES.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
    assert open_submission(submit(target.getvalue()), EDITION).files == FILES


@every_archive
def test_an_archive_that_is_cut_short_is_refused(submit, container):
    noise = os.urandom(300)
    whole = submit({"llama.py": LLAMA, "noise": noise, "rope.py": ROPE}, container).read_bytes()
    end = len(whole) - (9700 if container == "tar" else 0)  # a tar ends with many zeros
    for length in [*range(1, end, max(1, end // 25)), end - 1]:
        reason(submit(whole[:length]))


@pytest.mark.parametrize("container", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_damaged_archive_gives_its_files_unchanged_or_nothing(submit, container):
    whole = submit(FILES, container).read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        path = submit(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            found = open_submission(path, EDITION).files
        except Refused:
            continue
        assert set(found.items()) <= set(FILES.items()), at


MAGICS = [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08\x00", b"BZh9", b"\xfd7zXZ\x00", tar_header(b"llama.py")]
fuzzed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def survive(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        open_submission(path, EDITION)
    except Refused as refusal:
        assert text.plain(refusal.reason) == refusal.reason and len(refusal.reason.splitlines()) == 1


@fuzzed
@given(magic=st.sampled_from(MAGICS), data=st.binary(max_size=2000))
def test_no_bytes_raise_anything_but_a_refusal(tmp_path, magic, data):
    survive(tmp_path / "ada", magic + data)


@fuzzed
@given(
    name=st.binary(max_size=100),
    kind=st.binary(min_size=1, max_size=1) | st.sampled_from([b"x", b"L", b"g"]),
    size=st.binary(max_size=12) | st.integers(0, 3000).map(lambda n: b"%011o\0" % n),
    prefix=st.binary(max_size=155),
    rest=st.binary(max_size=1500),
    pack=st.sampled_from([bytes, gzip.compress]),
)
def test_no_tar_header_raises_anything_but_a_refusal(tmp_path, name, kind, size, prefix, rest, pack):
    survive(tmp_path / "ada", pack(tar_header(name, kind, size, prefix) + rest))


@fuzzed
@given(data=st.data())
def test_no_change_to_a_zip_raises_anything_but_a_refusal(tmp_path, data):
    changed = bytearray(zip_of(FILES.items()))
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    survive(tmp_path / "ada", bytes(changed))


@fuzzed
@given(names=st.lists(st.text(max_size=30), max_size=4), container=st.sampled_from(["zip", "tar"]))
def test_no_names_raise_anything_but_a_refusal(tmp_path, names, container):
    files = [(name.encode("utf-8", "ignore").decode().replace("\0", "") or "x", b"") for name in dict.fromkeys(names)]
    hand_in(tmp_path / "ada", {**FILES, **dict(files)}, container)
    survive(tmp_path / "ada", (tmp_path / "ada").read_bytes())
