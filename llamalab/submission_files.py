"""The files of a submission somebody made: a zip or a folder, hostile until shown otherwise.

Nothing is imported, executed or extracted to disk; names and sizes are judged before a byte of content is read.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
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
    if path.is_dir():
        return _open_folder(path)
    if not path.exists():
        raise Misuse(f"{text.line(str(path))}: no such file or folder; `make NAME` writes NAME.zip")
    if not path.is_file():
        raise Misuse(f"{text.line(str(path))} is neither a zip nor a folder")
    shown, size = text.line(str(path)), path.stat().st_size
    if size >= MAX_ZIP:
        raise UserError(f"{shown} has {size} bytes; a submission has less than {MAX_ZIP}")
    return open_zip(io.BytesIO(path.read_bytes()), shown)


def open_zip(file: io.BytesIO, shown: str) -> dict[str, Entry]:
    """The files of a zip by their names within its top folder; UserError names what it is refused for."""
    try:
        archive = zipfile.ZipFile(file)
    except UNREADABLE as error:
        raise UserError(f"{shown} is not a zip file, or a damaged one") from error
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise UserError(f"{shown} has {len(infos)} entries; at most {MAX_ENTRIES} are allowed")
    seen: set[str] = set()
    for info in infos:
        problem = _entry_problem(info)
        key = info.filename.rstrip("/").casefold()
        if not problem and key in seen:
            problem = "appears twice (names that differ only in case count as one)"
        if problem:
            raise UserError(f"{shown}: the entry {text.line(info.orig_filename)!r} {problem}; nothing was unpacked")
        seen.add(key)
    _refuse_large(shown, sum(info.file_size for info in infos))
    files = [info for info in infos if not info.is_dir()]
    _refuse_tops(shown, infos, files)
    return {info.filename.partition("/")[2]: Entry(info.file_size, _reader(archive, info)) for info in files}


def _reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    return lambda: archive.read(info)


def _entry_problem(info: zipfile.ZipInfo) -> str | None:
    """Why an entry is refused for what its header says, or None."""
    name = info.orig_filename  # zipfile cuts ``filename`` at a NUL
    kind = stat.S_IFMT(info.external_attr >> 16)
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return "has an absolute name"
    if {"", ".", ".."} & set(name.removesuffix("/").split("/")):
        return "has a path that leaves its folder or goes in circles"
    if not name.isprintable():
        return "has control characters in its name"
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is neither a file nor a folder"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed by another method than deflate"
    if info.file_size > MAX_RATIO * info.compress_size:
        return f"unpacks to more than {MAX_RATIO} times its size"
    return None


def _refuse_large(shown: str, size: int) -> None:
    if size > MAX_UNPACKED:
        raise UserError(f"{shown} unpacks to {size} bytes; at most {MAX_UNPACKED} are allowed")


def _refuse_tops(shown: str, infos: list[zipfile.ZipInfo], files: list[zipfile.ZipInfo]) -> None:
    loose = [info.filename for info in files if "/" not in info.filename]
    if loose:
        raise UserError(f"{shown}: {text.line(loose[0])!r} lies outside a folder; one top folder holds all the files")
    tops = sorted({info.filename.split("/")[0] for info in infos})
    if len(tops) != 1:
        named = f" ({', '.join(text.line(top) for top in tops[:5])})" if tops else ""
        raise UserError(f"{shown} has {len(tops)} top folders{named}; a submission has exactly one")
    refuse_name(tops[0], f"{shown}: the top folder", UserError)


def refuse_name(name: str, what: str, error: type[UserError]) -> None:
    """Raise ``error`` unless the name follows the rule for top folders."""
    if not NAME.fullmatch(name):
        raise error(f"{what} is named {text.line(name)!r}, not like {NAME_RULE}")


def _open_folder(folder: Path) -> dict[str, Entry]:
    shown, root = text.line(str(folder)), folder.resolve()
    refuse_name(root.name, f"{shown}: the folder", UserError)
    entries: dict[str, Entry] = {}
    count = total = 0
    for place, folders, files in os.walk(root, onerror=_raise):
        for name in sorted(folders + files):
            path = Path(place, name)
            inner = path.relative_to(root).as_posix()
            count += 1
            if count > MAX_ENTRIES:
                raise UserError(f"{shown} has more than {MAX_ENTRIES} entries; leave out .venv, data and checkpoints")
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                raise UserError(
                    f"{shown}: the entry {text.line(inner)!r} is a link; put the file there or leave it out"
                )
            if stat.S_ISREG(status.st_mode):
                total += status.st_size
                entries[inner] = Entry(status.st_size, path.read_bytes)
            elif not stat.S_ISDIR(status.st_mode):
                raise UserError(f"{shown}: the entry {text.line(inner)!r} is neither a file nor a folder")
    _refuse_large(shown, total)
    return entries


def _raise(error: OSError) -> None:
    raise error


def shown_text(name: str) -> str:
    """A name for the grader's messages, which has its escapes there; to give way to ``text.line``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name[:300])
