"""Opens what a student handed in: a folder, a zip or a tar, told apart by content and read in memory, never executed.

`open_submission` takes the edition's student files from wherever they lie in it, and says why it refuses what is
dangerous or ambiguous. `find`, in `exports.py`, says which entries of a folder are whose.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from autograder.editions import Edition
from autograder.intake import folders, tars, zips
from autograder.intake.entries import FILE, FOLDER, Entries, Place, Refused, Wanted, kind_of, shown
from autograder.intake.exports import Found, find
from autograder.intake.notebooks import NotANotebook
from autograder.intake.submission import Submission, code_of
from llamalab import text

__all__ = ["Found", "Refused", "find", "open_submission"]

MAX_ARCHIVE = 100 << 20  # bytes
MAX_LISTED = 100  # ignored files that are listed
MAX_NAMED = 5  # files that a sentence names

# Cyrillic, Greek and Latin letters that look like others and that Unicode's normalisation keeps apart; then blank ones.
CONFUSABLE = str.maketrans(
    "аеорсухіјѕԁԛԝһӏкмтвгп" + "αινορτυκγ" + "ıɑɡȷʟᴍᴀ",
    "aeopcyxijsdqwhlkmtbrn" + "aivoptuky" + "iagjlma",
    "\u115f\u1160\u2800",
)


def open_submission(path: Path, edition: Edition) -> Submission:
    """The edition's student files in a folder or an archive.

    A folder that holds none of them, but one archive, is that archive: so some learning platforms hand them out.

    Raises:
        Refused: it is dangerous, damaged or ambiguous, or has none of the files.
    """
    try:
        contents = _contents(Path(path), edition)
    except OSError as error:
        name = os.path.basename(error.filename if isinstance(error.filename, (str, bytes)) else path)
        raise Refused(
            f"{shown(os.fsdecode(name))} cannot be read ({error.strerror or error}); hand it in again"
        ) from error
    notes = _lookalikes([*contents.files, *contents.others], contents.wanted.names)
    if not contents.files:
        raise Refused(_nothing_found(edition, contents.others))
    chosen = _chosen(contents)
    others = [*contents.others, *(place for place in contents.files if place not in chosen.values())]
    try:
        files = {name: code_of(name, contents.files[place]) for name, place in chosen.items()}
    except NotANotebook as problem:
        raise Refused(str(problem)) from problem
    return Submission(edition, files, _listed(others, notes))


def _contents(path: Path, edition: Edition) -> Entries:
    kind = kind_of(path.lstat().st_mode)
    if kind not in (FILE, FOLDER):
        raise Refused(f"it is a {kind}, neither a folder nor a zip or tar archive")
    contents = Entries(Wanted.of(edition))
    descriptor = folders.opened(path)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        try:
            folders.read(descriptor, contents)
            return contents if contents.files else _archive_within(descriptor, contents)
        finally:
            os.close(descriptor)
    with os.fdopen(descriptor, "rb") as file:
        _read_archive(file, contents)
    return contents


def _archive_within(folder: int, contents: Entries) -> Entries:
    """The contents of the only archive that lies directly in a folder, or the folder's own if there is none.

    Raises:
        Refused: there are several.
    """
    names = [place[0] for place in contents.others if len(place) == 1]
    archives = [name for name in names if _is_archive(folder, name)]
    if not archives:
        return contents
    if len(archives) > 1:
        raise Refused(f"it holds several archives, {_some(archives)}; hand in one")
    inner = Entries(contents.wanted)
    with os.fdopen(folders.opened(archives[0], folder), "rb") as file:
        _read_archive(file, inner)
    inner.others += [place for place in contents.others if place != (archives[0],)]
    return inner


def _read_archive(file: BinaryIO, contents: Entries) -> None:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"it is a {kind_of(status.st_mode)}, neither a folder nor a zip or tar archive")
    if status.st_size > MAX_ARCHIVE:
        raise Refused(f"the archive is larger than {MAX_ARCHIVE:,} bytes; leave out data and checkpoints")
    start = file.read(tars.BLOCK)
    file.seek(0)
    if zips.recognises(start):
        zips.read(file, status.st_size, contents)
    elif tars.recognises(start):
        tars.read(file, status.st_size, contents)
    else:
        raise Refused("it is neither a folder nor a zip or tar archive; hand in a zip")


def _is_archive(folder: int, name: str) -> bool:
    with os.fdopen(folders.opened(name, folder), "rb") as file:
        start = file.read(tars.BLOCK)
    return zips.recognises(start) or tars.recognises(start)


def _chosen(contents: Entries) -> dict[str, Place]:
    """Where each of the student's files is taken from, by its name: the outermost one.

    Raises:
        Refused: there are two of one name and either could be meant: both are equally deep, or the outermost files
            lie in several folders, so that versions would be mixed.
    """
    by_name: dict[str, list[Place]] = {}
    for place in sorted(contents.files, key=lambda place: (len(place), place)):
        by_name.setdefault(contents.wanted.name_of(place) or "", []).append(place)
    chosen = {name: places[0] for name, places in by_name.items()}
    together = len({place[: -len(name.split("/"))] for name, place in chosen.items()}) == 1
    for first, *others in by_name.values():
        if others and (not together or len(others[0]) == len(first)):
            both = f"{shown('/'.join(first))} and {shown('/'.join(others[0]))}"
            raise Refused(f"it has {both}, and either could be meant; hand in one file of each name")
    return chosen


def _lookalikes(places: Iterable[Place], wanted: Iterable[str]) -> dict[Place, str]:
    """Notes on files whose names are a student file's but for capital letters.

    Raises:
        Refused: one has such a file beside it, or looks the same without being spelled the same.
    """
    places = set(places)
    meant_by = {_skeleton(name): name for name in wanted}
    notes = {}
    for place in sorted(places):
        name = place[-1]
        meant = meant_by.get(_skeleton(name), name)
        if meant == name:
            continue
        path = shown("/".join(place))
        if name.lower() != meant.lower():
            raise Refused(f"{path} looks like '{meant}' and is spelled with other characters; type the name anew")
        if (*place[:-1], meant) in places:
            raise Refused(f"{path} and '{meant}' differ only in capital letters; hand in one of them")
        notes[place] = f"is not {meant}: capital letters count"
    return notes


def _skeleton(name: str) -> str:
    """What a name looks like: without accents, invisible characters, capital letters, and spaces or dots at the end."""
    plain = unicodedata.normalize("NFKD", name).casefold().translate(CONFUSABLE)
    kept = "".join(c for c in plain if unicodedata.category(c) not in ("Mn", "Me", "Cf", "Zs"))
    return kept.rstrip(".")


def _nothing_found(edition: Edition, others: list[Place]) -> str:
    found = _some(sorted(place[-1] for place in others)) if others else "nothing"
    names = ", ".join((*edition.student_files, *edition.student_tree))
    return f"it has none of the files {names}, but {found}; hand in those files"


def _some(names: list[str]) -> str:
    more = [f"{len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else []
    return ", ".join([*(shown(name) for name in names[:MAX_NAMED]), *more])


def _listed(places: list[Place], notes: Mapping[Place, str]) -> tuple[str, ...]:
    """The first so many names, those with notes before others, and how many more there are."""
    ordered = sorted(places, key=lambda place: (place not in notes, place))
    lines = [
        text.line("/".join(place)) + (f" ({notes[place]})" if place in notes else "") for place in ordered[:MAX_LISTED]
    ]
    return (*lines, f"and {len(places) - MAX_LISTED:,} more") if len(places) > MAX_LISTED else tuple(lines)
