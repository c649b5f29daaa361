"""Reads a submission that is a tar, plain or packed by gzip, bzip2 or xz, from front to end and piece by piece.

Not by tarfile, which reads names as long as the archive says, and unpacks without a limit.
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from autograder.intake.entries import (
    DEVICE,
    FILE,
    FOLDER,
    HARD_LINK,
    MAX_ENTRIES,
    MAX_EXPANDED,
    PIPE,
    SYMBOLIC_LINK,
    Entries,
    Refused,
    refuse_bomb,
)

BLOCK = 512
PIECE = 1 << 16  # bytes read at once
MAX_EXTENSIONS = 4 << 20  # bytes of all long names and extended attributes; an entry's have a few hundred
MAX_HEADERS = 4 * MAX_ENTRIES  # an entry may have a long name, a long link and attributes
MAX_STREAMS = 10_000  # packed one after the other; parallel packers write one for 64 kB or more
MAX_DICTIONARY = 128 << 20  # bytes of memory for xz; `xz -9` needs 65 MB
KINDS = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,
    b"1": HARD_LINK,
    b"2": SYMBOLIC_LINK,
    b"3": DEVICE,
    b"4": DEVICE,
    b"5": FOLDER,
    b"6": PIPE,
    b"S": "sparse file",
}
UNKNOWN = "tar entry of an unknown kind"
LONG_NAME, LONG_LINK, GLOBAL = b"L", b"K", b"g"
EXTENSIONS = (LONG_NAME, LONG_LINK, GLOBAL, b"x", b"X")
MALFORMED = "the tar is damaged or not written by an ordinary tool; make it again"
SPARSE = "the tar has a sparse file; make it without --sparse"
CUT = "the tar is cut short; make it again"


def recognises(start: bytes) -> bool:
    """Whether a file whose first 512 bytes are these is a tar, or packed as one may be."""
    return start.startswith(tuple(PACKINGS)) or _is_header(start)


def read(file: BinaryIO, size: int, contents: Entries) -> None:
    """Pass every entry of a tar of ``size`` bytes to ``contents``.

    Raises:
        Refused: it is damaged, or something in it is not allowed.
    """
    start = file.read(8)
    file.seek(0)
    packing = next((packing for magic, packing in PACKINGS.items() if start.startswith(magic)), None)
    try:
        _read(io.BufferedReader(_Unpacked(file, size, packing), PIECE) if packing else file, contents)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise Refused(MALFORMED) from error


def _read(stream: BinaryIO, contents: Entries) -> None:
    extended: dict[str, str] = {}
    allowed = MAX_EXTENSIONS
    for _ in range(MAX_HEADERS):
        header = _exactly(stream, BLOCK)
        if not any(header):
            while stream.read(PIECE):  # a packed stream's checksum comes last
                pass
            return
        if not _is_header(header):
            raise Refused(MALFORMED)
        kind, size = header[156:157], _number(header[124:136])
        if kind in EXTENSIONS:
            allowed -= size
            if allowed < 0:
                raise Refused(MALFORMED)
            more = _extension(kind, _Body(stream, size))
            if more.keys() & extended.keys():
                raise Refused(MALFORMED)
            extended |= more
        else:
            name = extended.get("path", _short_name(header))
            _add(name, kind, _Body(stream, _decimal(extended.get("size", str(size)))), contents)
            extended = {}
    raise Refused(MALFORMED)


def _add(name: str, kind: bytes, body: _Body, contents: Entries) -> None:
    what = KINDS.get(kind, UNKNOWN)
    if what == FILE and name.endswith("/"):
        what = FOLDER
    contents.add(name, what, body.read)
    # Tools disagree on whether anything else has a body, and so on what follows.
    if what != FILE and body.left:
        raise Refused(MALFORMED)
    body.skip()


def _extension(kind: bytes, body: _Body) -> dict[str, str]:
    """What a header says of the entry after it."""
    data = body.read(body.left)
    body.skip()
    if kind == LONG_NAME:
        return {"path": _text(data.removesuffix(b"\0"))}
    if kind == LONG_LINK:
        return {}
    records = _records(data)
    if any(key.startswith("GNU.sparse.") for key in records):
        raise Refused(SPARSE)
    if kind == GLOBAL:  # said of every entry; git writes a comment
        if records.keys() & {"path", "size"}:
            raise Refused(MALFORMED)
        return {}
    return records


class _Body:
    """The bytes that follow a header, up to the next one."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._padding = -size % BLOCK
        self.left = size

    def read(self, limit: int) -> bytes:
        data = _exactly(self._stream, min(limit, self.left))
        self.left -= len(data)
        return data

    def skip(self) -> None:
        while self.left:
            self.read(PIECE)
        _exactly(self._stream, self._padding)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise Refused(CUT)
    return data


def _is_header(block: bytes) -> bool:
    """Whether the checksum is that of the block, with spaces in the checksum's place."""
    if len(block) < BLOCK or not re.fullmatch(rb" *[0-7]{1,8}[ \0]*", block[148:156]):
        return False
    return sum(block[:148]) + 8 * ord(" ") + sum(block[156:BLOCK]) == int(block[148:156].strip(b" \0"), 8)


def _number(field: bytes) -> int:
    """Octal digits, or a large number in binary after the byte 0x80."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if not re.fullmatch(rb" *[0-7]*[ \0]*", field):
        raise Refused(MALFORMED)
    return int(field.strip(b" \0") or b"0", 8)


def _decimal(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise Refused(MALFORMED)
    return int(text)


def _short_name(header: bytes) -> str:
    prefix = header[345:500] if header[257:263] == b"ustar\0" else b""  # GNU's tar keeps times there
    parts = [part.split(b"\0")[0] for part in (prefix, header[:100])]
    return _text(b"/".join(filter(None, parts)))


def _text(data: bytes) -> str:
    """A name; what is not UTF-8 in it stays recognisable, to be refused."""
    return data.decode("utf-8", errors="surrogateescape")


def _records(data: bytes) -> dict[str, str]:
    """Extended attributes, each a line ``LENGTH KEY=VALUE``, its length included."""
    found = {}
    at = 0
    while at < len(data):
        length = re.match(rb"([0-9]{1,7}) ", data[at : at + 8])
        end = at + int(length[1]) if length else 0
        key, equals, value = data[at + length.end() : end - 1].partition(b"=") if length else (b"", b"", b"")
        if not key or not equals or data[end - 1 : end] != b"\n" or end > len(data):
            raise Refused(MALFORMED)
        found[_text(key)] = _text(value)
        at = end
    return found


class _Gzip:
    """zlib with the face of `bz2.BZ2Decompressor`; ``eof`` and ``unused_data`` it has already."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._zlib, name)

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


@dataclass(frozen=True)
class _Packing:
    """How to unpack, and up to how many bytes: what some seconds are enough for."""

    unpacker: Callable[[], Any]
    limit: int


PACKINGS = {
    b"\x1f\x8b": _Packing(_Gzip, MAX_EXPANDED),
    b"BZh": _Packing(bz2.BZ2Decompressor, 32 << 20),
    b"\xfd7zXZ\0": _Packing(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY), 64 << 20),
}


class _Unpacked(io.RawIOBase):
    """What a packed file unpacks to, no more of it at once than is asked for."""

    def __init__(self, file: BinaryIO, size: int, packing: _Packing) -> None:
        self._file, self._size, self._packing = file, size, packing
        self._unpacker = packing.unpacker()
        self._streams = 1
        self._expanded = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            packed = self._next_packed()
            if packed is None:
                return 0
            data = self._unpacker.decompress(packed, len(buffer))
            if not (data or packed or self._unpacker.eof):
                raise Refused(CUT)
        self._expanded += len(data)
        refuse_bomb(self._expanded, self._size, self._packing.limit)
        buffer[: len(data)] = data
        return len(data)

    def _next_packed(self) -> bytes | None:
        """What to unpack next, empty if the unpacker still has some or nothing is left; None after the last stream."""
        if not self._unpacker.eof:
            return self._file.read(PIECE) if self._unpacker.needs_input else b""
        rest = self._unpacker.unused_data or self._file.read(PIECE)
        if not rest.strip(b"\0"):  # some tools fill up a block
            return None
        self._streams += 1
        if self._streams > MAX_STREAMS:
            raise Refused(MALFORMED)
        self._unpacker = self._packing.unpacker()
        return rest
