"""Reads a submission that is a folder. No link is followed, and nothing that could block is opened."""

from __future__ import annotations

import os
import stat
from functools import partial
from itertools import islice
from pathlib import Path

from autograder.intake.entries import (
    FOLDER,
    HARD_LINK,
    MAX_ENTRIES,
    Entries,
    Place,
    Refused,
    is_clutter,
    kind_of,
    shown,
)

# A pipe, put there after it was looked at, would otherwise wait for a writer.
FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def opened(name: str | Path, folder: int | None = None) -> int:
    """A descriptor of a file or folder that is not a link.

    Args:
        folder: descriptor of the folder it is in.

    Raises:
        OSError: it is a link, or cannot be opened.
    """
    return os.open(name, FLAGS, dir_fd=folder)


def read(folder: int, contents: Entries, place: Place = ()) -> None:
    """Pass everything below an open folder to ``contents``, in the order of names.

    Raises:
        Refused: something in it is not allowed.
        OSError: something cannot be read, or changed meanwhile.
    """
    with os.scandir(folder) as listing:
        children = sorted(islice(listing, MAX_ENTRIES + 1), key=lambda child: child.name)
    for child in children:
        inner = (*place, child.name)
        kind = kind_of(child.stat(follow_symlinks=False).st_mode)
        contents.add("/".join(inner), kind, partial(content, folder, child.name))
        if kind == FOLDER and not is_clutter(inner):
            descriptor = opened(child.name, folder)
            try:
                read(descriptor, contents, inner)
            finally:
                os.close(descriptor)


def content(folder: int, name: str, limit: int) -> bytes:
    """At most ``limit`` bytes of a file in an open folder.

    Raises:
        Refused: it is not a file, or is also somewhere else under another name.
        OSError: it cannot be read.
    """
    with os.fdopen(opened(name, folder), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{shown(name)} is a {kind_of(status.st_mode)}; a submission holds only plain files")
        if status.st_nlink > 1:
            raise Refused(f"{shown(name)} is a {HARD_LINK} to another file; hand in a copy")
        return file.read(limit)
