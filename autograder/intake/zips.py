"""Reads a submission that is a zip. What its table of contents claims is checked, and never believed."""

from __future__ import annotations

import zipfile
from functools import partial
from typing import BinaryIO

from autograder.intake.entries import FILE, FOLDER, Entries, Refused, kind_of, refuse_bomb, shown
from llamalab.submission_files import UNREADABLE

STARTS = (b"PK\x03\x04", b"PK\x05\x06")  # a first entry, or the end of an empty zip
MAX_READ = 4 << 20  # bytes at once; zipfile reads the table of contents in one piece, as long as the zip says it is
LOCAL_HEADER = 30  # bytes before the name
ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags: content, strong, names
UTF8 = 0x800


def recognises(start: bytes) -> bool:
    """Whether a file that starts like this is a zip."""
    return start.startswith(STARTS)


def read(file: BinaryIO, size: int, contents: Entries) -> None:
    """Pass every entry of a zip of ``size`` bytes to ``contents``.

    Raises:
        Refused: it is damaged, or something in it is not allowed.
    """
    try:
        with zipfile.ZipFile(_Bounded(file)) as archive:
            entries = archive.infolist()
            refuse_bomb(sum(entry.file_size for entry in entries), size)
            _refuse_overlap(entries)
            for entry in entries:
                if entry.flag_bits & ENCRYPTED:
                    raise Refused(f"{shown(_name(entry))} is encrypted; make the zip without a password")
                contents.add(_name(entry), _kind(entry), partial(_content, archive, entry))
    except UnicodeDecodeError as error:
        raise Refused("a name in the zip is not UTF-8, as it claims; make the zip again") from error
    except UNREADABLE as error:
        raise Refused("the zip is damaged or cut short; make it again") from error


class _Bounded:
    """A file that refuses to read much at once: a zip of 100 MB may consist of nothing but its table of contents."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._file = file

    def seekable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(min(count, MAX_READ + 1) if count >= 0 else MAX_READ + 1)
        if len(data) > MAX_READ:
            raise Refused("the zip's table of contents is too long; hand in only the files asked for")
        return data


def _name(entry: zipfile.ZipInfo) -> str:
    """The whole name; ``filename`` is cut at a NUL. Some tools write UTF-8 without saying so."""
    name = entry.orig_filename
    if entry.flag_bits & UTF8:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _kind(entry: zipfile.ZipInfo) -> str:
    kind = kind_of(entry.external_attr >> 16)
    return FOLDER if kind == FILE and entry.orig_filename.endswith("/") else kind


def _refuse_overlap(entries: list[zipfile.ZipInfo]) -> None:
    """Raise `Refused` if two entries share bytes, which lets a small zip hold any amount."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise Refused(f"{shown(_name(entry))} overlaps another entry of the zip, like a zip bomb; make it again")
        end = entry.header_offset + LOCAL_HEADER + entry.compress_size


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    # zipfile limits what it unpacks at once for these two only.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused(f"{shown(_name(entry))} is packed by an unusual method; make the zip with another program")
    with archive.open(entry) as file:
        data = file.read(limit)
    if len(data) != min(entry.file_size, limit):
        raise Refused(f"{shown(_name(entry))} has another size than the zip says; make it again")
    return data
