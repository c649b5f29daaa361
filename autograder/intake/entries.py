"""What a submission may hold. Folders, zips and tars pass every entry through `Entries`; nothing else judges them.

Nothing is written anywhere. Only a student's file is read, up to a limit, whatever the entry says of its size.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass

from autograder.editions import Edition
from autograder.intake.submission import largest
from llamalab import text

MAX_ENTRIES = 10_000
MAX_DEPTH = 20  # folders in folders
MAX_NAME = 1_000  # characters of a path
MAX_READ = 16 << 20  # bytes of all student files, copies in other folders included
MAX_EXPANDED = 256 << 20  # bytes that an archive may unpack to
MAX_RATIO = 100  # code packs 3 to 10 times, logs perhaps 50; only a bomb goes far beyond
HARMLESS_SIZE = 16 << 20  # bytes that may be packed at any ratio: an empty log is no bomb

FILE, FOLDER, SYMBOLIC_LINK, HARD_LINK = "file", "folder", "symbolic link", "hard link"
DEVICE, PIPE, SPECIAL = "device", "named pipe", "special file"
KINDS = {
    0: FILE,  # a zip made where there are no kinds
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: SYMBOLIC_LINK,
    stat.S_IFCHR: DEVICE,
    stat.S_IFBLK: DEVICE,
    stat.S_IFIFO: PIPE,
}

# What tools leave behind and nobody means to hand in. Finder ends the name of its icon with a carriage return.
CLUTTER = {
    "__MACOSX",
    "__pycache__",
    "node_modules",
    "site-packages",
    "venv",
    "env",
    "Thumbs.db",
    "desktop.ini",
    "Icon\r",
}

# Where a handout, today's or an old one, has the course's own files, of which some may be called like a student's:
# whoever hands in the whole handout has them.
HANDED_OUT = re.compile(r"(.*/)?(autograder/adapters|tests/graders|courses/[^/]+/components/.+)")

Place = tuple[str, ...]  # ("hw", "llama.py"): the folders and the name


class Refused(Exception):
    """A submission that is not opened; ``reason`` is one sentence without a full stop, safe to show."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Wanted:
    """Which places are a student's file, by an edition's names and patterns, in whatever folder they lie together."""

    names: frozenset[str]
    patterns: tuple[re.Pattern, ...] = ()

    @classmethod
    def of(cls, edition: Edition) -> Wanted:
        return cls(frozenset(edition.student_files), tuple(map(_compiled, edition.student_tree)))

    def name_of(self, place: Place) -> str | None:
        """The name that a submission knows a file by, such as ``basics/model.py``; None for any other file."""
        for start in range(len(place)):
            name = "/".join(place[start:])
            if name in self.names or any(pattern.fullmatch(name) for pattern in self.patterns):
                return None if HANDED_OUT.fullmatch("/".join(place[:start])) else name
        return None


def _compiled(pattern: str) -> re.Pattern:
    """``basics/**/*.py`` as an expression: ``**/`` is any number of folders, ``*`` anything but a slash."""
    parts = re.split(r"(\*\*/|\*)", pattern)
    return re.compile("".join({"**/": "(?:[^/]+/)*", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts))


class Entries:
    """The student's files found so far, by place, and the places of everything else."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.files: dict[Place, bytes] = {}
        self.others: list[Place] = []
        self._seen: set[Place] = set()
        self._entries = 0
        self._read = 0

    def add(self, name: str, kind: str, read: Callable[[int], bytes]) -> None:
        """Take one entry: its path as the submission spells it, and how to read so many bytes of it at most.

        Raises:
            Refused: for its name, its kind or its size, or because there are too many.
        """
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise Refused(f"it has more than {MAX_ENTRIES:,} files and folders; hand in only the files asked for")
        place = place_of(name)
        if is_clutter(place):
            return
        if kind not in (FILE, FOLDER):
            raise Refused(f"{shown(name)} is a {kind}; a submission holds only plain files and folders")
        if kind == FOLDER:
            return
        if not place:
            raise Refused("a file in it has no name; make the archive again")
        if place in self._seen:
            raise Refused(f"{shown(name)} is there twice; hand in one file of each name")
        self._seen.add(place)
        student_name = self.wanted.name_of(place)
        if student_name:
            self.files[place] = self._content(name, read, largest(student_name))
        else:
            self.others.append(place)

    def _content(self, name: str, read: Callable[[int], bytes], limit: int) -> bytes:
        data = read(limit + 1)
        if len(data) > limit:
            raise Refused(f"{shown(name)} is larger than {limit:,} bytes; source code is not")
        self._read += len(data)
        if self._read > MAX_READ:
            raise Refused(f"its copies of the student's files have more than {MAX_READ:,} bytes; hand in one of each")
        return data


def place_of(name: str) -> Place:
    """A path as its parts: ``./hw//llama.py`` is ``("hw", "llama.py")``.

    Raises:
        Refused: it could lead out of its folder on some system, or is not plain UTF-8 text.
    """
    if len(name) > MAX_NAME:
        raise Refused(f"a name, {shown(name)}, has more than {MAX_NAME:,} characters; shorten it")
    if "\\" in name:
        raise Refused(f"{shown(name)} has a backslash in its name; folders are separated by /")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise Refused(f"{shown(name)} is an absolute path; names start inside the submission")
    place = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in place:
        raise Refused(f"{shown(name)} leads out of its folder; a name must not contain '..'")
    if len(place) > MAX_DEPTH:
        raise Refused(f"{shown(name)} lies more than {MAX_DEPTH} folders deep; put the files into one folder")
    for part in place:
        if any("\ud800" <= c <= "\udfff" for c in part):
            raise Refused(f"{shown(name)} is not UTF-8; rename it with plain letters")
        if part not in CLUTTER and any(c < " " or "\x7f" <= c < "\xa0" for c in part):
            raise Refused(f"{shown(name)} has a control character in its name; rename it with plain letters")
    return place


def is_clutter(place: Place) -> bool:
    """Whether it is hidden, or in a folder that tools make: never looked at and not listed."""
    return any(part.startswith(".") or part in CLUTTER for part in place)


def kind_of(mode: int) -> str:
    """What a file's mode says it is."""
    return KINDS.get(stat.S_IFMT(mode), SPECIAL)


def refuse_bomb(expanded: int, packed: int, limit: int = MAX_EXPANDED) -> None:
    """Raise `Refused` for an archive of ``packed`` bytes that unpacks to ``expanded`` or more."""
    if expanded > limit:
        raise Refused(f"it unpacks to more than {limit:,} bytes; leave out data and checkpoints")
    if expanded > max(HARMLESS_SIZE, MAX_RATIO * packed):
        raise Refused(f"it unpacks to more than {MAX_RATIO} times its size, like a zip bomb; leave out data")


def shown(name: str) -> str:
    """A name from a submission, in quotes, without control characters and not too long."""
    return f"'{text.line(name, 200)}'"
