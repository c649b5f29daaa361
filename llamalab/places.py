"""Where the project's files are: in the repository, in a handout, or as data below the installed package.

The *root* has the student files, the commands and ``courses/``. The *home* has what is fetched and made: ``ckpt/``,
``data/``, ``tokenizer/`` and ``runs/``. Both are the same folder, except for an installed wheel, whose folder is not
the user's to write to. Neither depends on the folder in which a command is started.
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[1]  # the folder that llamalab and autograder lie in
INSTALLED = PACKAGES / "llamalab" / "project"  # in a wheel only: everything else that the repository holds


def root() -> Path:
    """The repository, the handout, or the same files below an installed package."""
    return INSTALLED if INSTALLED.is_dir() else PACKAGES


def path(name: str) -> Path:
    """Where a file or folder of the project lies, by its path in the repository."""
    is_package = name.partition("/")[0] in ("llamalab", "autograder")
    return (PACKAGES if is_package else root()) / name


def home() -> Path:
    """The folder that assets and runs land in: LLAMALAB_HOME, or the root, or a folder of the user's for a wheel."""
    if named := os.environ.get("LLAMALAB_HOME"):
        return Path(named).expanduser().absolute()
    if root() == PACKAGES:
        return PACKAGES
    import pooch

    return Path(pooch.os_cache("llamalab"))


def default(name: str) -> str:
    """A file or folder below the home that a command takes when its user names none, short where it is near."""
    place = home() / name
    return str(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place)
