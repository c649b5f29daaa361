"""The files of a submission somebody made: a zip or a folder, hostile until shown otherwise.

Nothing is imported, executed or extracted to disk; names and sizes are judged before a byte of content is read.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from llamalab import text
from llamalab.errors import Misuse, UserError

MAX_ZIP = 10_000_000  # bytes; the course's own limit
MAX_UNPACKED = 50_000_000  # bytes
MAX_ENTRIES = 1_000
MAX_RATIO = 200  # text and code compress 3 to 10 times; only a bomb goes far beyond
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
NAME_RULE = "SURNAME1_SURNAME2: at most 100 of the letters A to Z and a to z, digits, _ and -, no - or _ in front"

# What zipfile and zlib raise on damaged bytes, and the system on a file that cannot be read.
UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, OverflowError, RuntimeError)


@dataclass(frozen=True)
class Entry:
    """One file of a submission: how large it says it is, and how to read it."""

    size: int
    read: Callable[[], bytes]


def open_submission(path: Path) -> dict[str, Entry]:
    """The files of a submission, by their names within its top folder.

    Args:
        path: a zip with one top folder, or that folder itself.

    Raises:
        Misuse: there is no such file or folder.
        UserError: it is no zip, or refused for a name, a kind of entry or a size; nothing has been unpacked.
    """
    shown = text.line(str(path))
    if path.is_dir():
        return _open_folder(path.resolve(), shown)
    if not path.exists():
        raise Misuse(f"{shown}: no such file or folder; `make NAME` writes NAME.zip")
    if not path.is_file():
        raise Misuse(f"{shown} is neither a zip nor a folder")
    if path.stat().st_size >= MAX_ZIP:
        raise UserError(f"{shown} has {path.stat().st_size} bytes; a submission has less than {MAX_ZIP}")
    return open_zip(path.read_bytes(), shown)


def open_zip(content: bytes, shown: str) -> dict[str, Entry]:
    """The files of a zip by their names within its top folder; UserError names what it is refused for."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except UNREADABLE as error:
        raise UserError(f"{shown} is not a zip file, or a damaged one") from error
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise UserError(f"{shown} has {len(infos)} entries; at most {MAX_ENTRIES} are allowed")
    seen: set[str] = set()
    for info in infos:
        key = info.filename.rstrip("/").casefold()
        twice = "appears twice (names that differ only in case count as one)" if key in seen else None
        if fault := next(_faults(info), twice):
            raise UserError(f"{shown}: the entry {text.line(info.orig_filename)!r} {fault}; nothing was unpacked")
        seen.add(key)
    files = {info.filename: Entry(info.file_size, partial(archive.read, info)) for info in infos if not info.is_dir()}
    refuse_large(shown, files)
    tops = {info.filename.split("/")[0] for info in infos} | {name for name in files if "/" not in name}
    if len(tops) != 1 or tops & files.keys() or not NAME.fullmatch(*tops):
        held = ", ".join(text.line(top) for top in sorted(tops)[:5]) or "nothing"
        raise UserError(f"{shown} holds {held}; a submission is one folder, named like {NAME_RULE}")
    return {name.partition("/")[2]: entry for name, entry in files.items()}


def _faults(info: zipfile.ZipInfo) -> Iterator[str]:
    """What is wrong with an entry by what its header says."""
    name = info.orig_filename  # zipfile cuts ``filename`` at a NUL
    if "\\" in name:
        yield "has a backslash in its name"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        yield "has an absolute name"
    if {"", ".", ".."} & set(name.removesuffix("/").split("/")):
        yield "has a path that leaves its folder or goes in circles"
    if not name.isprintable():
        yield "has control characters in its name"
    yield from _kind_faults(info.external_attr >> 16)
    if info.flag_bits & 0x1:
        yield "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield "is compressed by another method than deflate"
    if info.file_size > MAX_RATIO * info.compress_size:
        yield f"unpacks to more than {MAX_RATIO} times its size"


def _kind_faults(mode: int) -> Iterator[str]:
    if stat.S_ISLNK(mode):
        yield "is a link"
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):  # a zip may be made where there are no kinds
        yield "is neither a file nor a folder"


def refuse_large(shown: str, files: dict[str, Entry]) -> None:
    """Raise UserError for files that have far too many bytes together, naming the largest."""
    sizes = {name: entry.size for name, entry in files.items()}
    if sum(sizes.values()) > MAX_UNPACKED:
        total = f"unpacks to {sum(sizes.values())} bytes; at most {MAX_UNPACKED} are allowed"
        raise UserError(f"{shown} {total}. The largest: {largest(sizes)}")


def largest(sizes: dict[str, int]) -> str:
    """The three largest files with their sizes."""
    first = sorted(sizes, key=lambda name: (-sizes[name], name))[:3]
    return ", ".join(f"{text.line(name)} ({sizes[name]} bytes)" for name in first)


def _open_folder(folder: Path, shown: str) -> dict[str, Entry]:
    if not NAME.fullmatch(folder.name):
        raise UserError(f"{shown}: the folder is named {text.line(folder.name)!r}, not like {NAME_RULE}")
    files: dict[str, Entry] = {}
    for number, path in enumerate(folder.rglob("*"), start=1):  # which does not follow links
        if number > MAX_ENTRIES:
            raise UserError(f"{shown} has more than {MAX_ENTRIES} entries; leave out .venv, data and checkpoints")
        inner, status = path.relative_to(folder).as_posix(), path.lstat()
        for fault in _kind_faults(status.st_mode):
            raise UserError(f"{shown}: the entry {text.line(inner)!r} {fault}; put a file there or leave it out")
        if stat.S_ISREG(status.st_mode):
            files[inner] = Entry(status.st_size, path.read_bytes)
    refuse_large(shown, files)
    return files
