"""Tars: every format of them is read, and one that tools would read in different ways is refused, soon."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zlib

import pytest

from autograder.intake import tars
from autograder.intake.opening import open_submission
from tests.handed_in import EDITION, FILES, LLAMA, ROPE, padded, pax_tar, pax_tar_of, reason, submit, tar_header, tar_of

__all__ = ["submit"]


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_every_format_of_tar_is_read_with_long_names(submit, format):
    top = f"{'d' * 70}/{'e' * 70}/"
    files = [
        (tar_folder("hw"), b""),
        *((top + name, data) for name, data in FILES.items()),
        (top + "f" * 99, b"x" * 600),
    ]
    assert open_submission(submit(tar_of(files, format)), EDITION).files == FILES


def tar_folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


def test_a_tar_from_before_the_standards_is_read(submit):
    header = tar_header(b"llama.py", b"\0", b"%011o\0" % len(LLAMA))
    old = bytearray(tar_header(b"hw/", b"\0") + header + padded(LLAMA) + bytes(512))
    for start in (0, 512):
        old[start + 257 : start + 265] = bytes(8)
        total = sum(old[start : start + 148]) + sum(old[start + 156 : start + 512]) + 8 * 32
        old[start + 148 : start + 156] = b"%06o\0 " % total
    assert open_submission(submit(bytes(old)), EDITION).files == {"llama.py": LLAMA}


def test_attributes_decide_a_files_name_and_size(submit):
    archive = pax_tar({"mtime": "1.5", "path": "hw/rope.py", "SCHILY.xattr.user.x": "ü"}, data=ROPE)
    assert open_submission(submit(archive), EDITION).files == {"rope.py": ROPE}
    real = len(pax_tar({"size": "5"}))
    sized = pax_tar({"size": "5"})[: real - 1024] + padded(b"12345") + bytes(1024)
    assert open_submission(submit(sized), EDITION).files == {"llama.py": b"12345"}


def test_gits_comment_for_every_file_is_no_harm(submit):
    commented = submit(pax_tar({"comment": "0" * 40}, b"g", data=LLAMA))
    assert open_submission(commented, EDITION).files == {"llama.py": LLAMA}


DAMAGED = {
    "a name for every file": pax_tar({"path": "rope.py"}, b"g"),
    "a negative size": pax_tar({"size": "-1"}),
    "a size with an exponent": pax_tar({"size": "1e3"}),
    "nonsense after an attribute": pax_tar_of(b"9 path=x\n" + b"nonsense"),
    "a longer attribute than there is": pax_tar_of(b"999 path=x\n"),
    "an attribute of no length": pax_tar_of(b"0 path=x\n"),
    "an attribute without a name": pax_tar_of(b"5 =x\n\0"),
    "an attribute that is no record": pax_tar_of(b"path=x\n"),
    "attributes of attributes": pax_tar({"path": "a"})[:1024] + pax_tar({"path": "b"}),
    "a name of 5 MB": tar_header(b"name", b"L", b"%011o\0" % (5 << 20)) + bytes(6 << 20),
    "a folder with content": tar_header(b"hw/", b"5", b"00000001000\0") + bytes(2048),
    "a size of high bits": tar_header(b"llama.py", b"0", b"\xff" * 12) + bytes(1024),
    "a size that is no number": tar_header(b"llama.py", b"0", b"12a\0") + bytes(1024),
    "a file that is cut": tar_header(b"llama.py") + b"x" * 1024,
    "gzip of no tar": gzip.compress(b"no tar in here" * 100),
    "bytes after the gzip stream": gzip.compress(tar_of(FILES.items())) + b"more",
}


@pytest.mark.parametrize("archive", DAMAGED.values(), ids=DAMAGED)
def test_a_tar_that_tools_would_read_in_different_ways_is_refused(submit, archive):
    assert "damaged" in reason(submit(archive))


@pytest.mark.parametrize("key", ["GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.name"])
def test_a_sparse_file_is_refused(submit, key):
    assert "sparse" in reason(submit(pax_tar({key: "1"})))


def test_headers_without_end_are_refused_soon(submit, monkeypatch):
    monkeypatch.setattr(tars, "MAX_HEADERS", 100)
    endless = pax_tar({"comment": "x"}, b"g")[:1024] * 200
    assert "damaged" in reason(submit(endless + bytes(1024)))


def test_a_file_packed_in_several_pieces_is_read(submit):
    whole = tar_of(FILES.items())
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        pieces = b"".join(pack(whole[start : start + 700]) for start in range(0, len(whole), 700))
        assert open_submission(submit(pieces + bytes(100)), EDITION).files == FILES


def test_packed_pieces_without_end_are_refused_soon(submit, monkeypatch):
    monkeypatch.setattr(tars, "MAX_STREAMS", 50)
    assert "damaged" in reason(submit(gzip.compress(b"") * 100))


def test_a_dictionary_that_needs_much_memory_is_refused(submit):
    whole = tar_of(FILES.items())
    packed = bytearray(lzma.compress(whole))
    end = 12 + 4 * (packed[12] + 1)  # of the first block's header, whose checksum comes last
    packed[packed.index(b"\x21\x01", 12) + 2] = 32  # 256 MiB
    packed[end - 4 : end] = struct.pack("<I", zlib.crc32(packed[12 : end - 4]))
    assert lzma.decompress(packed) == whole
    assert "damaged" in reason(submit(bytes(packed)))
