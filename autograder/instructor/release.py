"""``python -m autograder release EDITION DEST``: DEST and DEST.zip, proven, or nothing."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

from autograder import editions
from autograder.editions import Edition
from autograder.instructor import proofs
from autograder.instructor.handout import MANIFEST, Handout, assemble
from llamalab.errors import UserError
from llamalab.submission import zipped


def run(name: str, destination: Path, force: bool) -> int:
    """Release an edition and say what was proven.

    Raises:
        UserError: see ``release``.
    """
    handout, points = release(editions.load(name), destination, force)
    print(f"{destination}: {len(handout.files)} files; {archive_of(destination)}")
    print(f"proven: it imports, all of {', '.join(handout.todos)} is to do, no line of a solution is in it,")
    print(f"the score is 0 of {points:g}, and {points:g} of {points:g} with the solutions put back")
    for command in handout.edition.smoke:
        print(f"runs: {command}")
    return 0


def release(edition: Edition, destination: Path, force: bool = False) -> tuple[Handout, float]:
    """Write a handout and its zip.

    Args:
        destination: the folder; the zip is put beside it.
        force: replace what an earlier release wrote there.

    Returns:
        the handout, and the points of its components.

    Raises:
        UserError: a mistake in the tree or the edition, a proof that fails, or a destination that is taken; nothing is
            written then.
    """
    destination = Path(os.path.abspath(destination))
    check_destination(destination, force)
    handout = assemble(edition)
    try:
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=f".{destination.name}.") as staging:
            folder = Path(staging, "new")
            write(handout, folder)
            archive = Path(staging, "new.zip")
            write_archive(handout, destination.name, archive)
            results = proofs.prove(folder, handout)
            move(folder, archive, destination, Path(staging, "old"))
    except OSError as error:
        raise UserError(f"{destination} cannot be written: {error.strerror or error}") from error
    return handout, results.points


def archive_of(destination: Path) -> Path:
    """The zip beside a handout's folder."""
    return destination.with_name(f"{destination.name}.zip")


def write(handout: Handout, folder: Path) -> None:
    """Write the files below a folder that does not exist yet."""
    folder.mkdir()
    for name, content in handout.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_archive(handout: Handout, top: str, path: Path) -> None:
    """Write the files into a zip with one top folder; the same files always give the same bytes."""
    path.write_bytes(zipped(top, sorted(handout.files.items())))


def check_destination(destination: Path, force: bool) -> None:
    """Nothing is in the way, or ``force`` and what an earlier release wrote.

    Raises:
        UserError: anything else, or there is no folder to put it in.
    """
    if not destination.parent.is_dir():
        raise UserError(f"{destination}: the folder {destination.parent} does not exist; make it first")
    for path, released in ((destination, _is_handout), (archive_of(destination), _is_archive)):
        if path.exists() or path.is_symlink():
            if not force:
                raise UserError(f"{path} exists; name another place, or replace it with --force")
            if path.is_symlink() or not released(path):
                raise UserError(f"{path} exists and was not written by a release; name another place")


def _is_handout(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _is_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).name == MANIFEST for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def move(folder: Path, archive: Path, destination: Path, old: Path) -> None:
    """Put both in place. The folder that was there goes to ``old``, and comes back if this fails."""
    if destination.exists():
        os.rename(destination, old)
    try:
        os.rename(folder, destination)
        os.replace(archive, archive_of(destination))
    except OSError:
        if old.exists():
            if destination.exists():
                os.rename(destination, folder)
            os.rename(old, destination)
        raise
