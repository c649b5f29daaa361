"""One hash of everything that decides marks: when it is the same, so are the marks of the same submission."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from autograder.submissions import ROOT
from autograder.tracks import Track

# these read marks, or are read by tests of the graders; none decides a mark
WITHOUT = (
    "autograder/instructor/alternatives/*",
    "autograder/instructor/misconceptions/*",
    "autograder/instructor/audit.py",
    "autograder/instructor/commands.py",
    "autograder/instructor/handout*.py",
    "autograder/instructor/proofs.py",
    "autograder/instructor/release.py",
    "autograder/table.py",
    "autograder/grading/commands.py",
    "autograder/grading/differences.py",
    "autograder/grading/doctor*.py",
    "autograder/grading/gradebook.py",
    "autograder/grading/gradescope*.py",
    "autograder/grading/gradescope_files/*",
    "autograder/grading/live.py",
    "autograder/grading/plan.py",
    "autograder/grading/replay.py",
    "autograder/grading/report.py",
    "autograder/grading/reports/*",
    "autograder/grading/similarity/*",
    "autograder/grading/summary.py",
)
PACKAGES = ("torch", "numpy", "scipy", "transformers", "peft")  # of the answers, the comparison and the references


def of(track: Track, root: Path = ROOT) -> str:
    """The hash for a track, as hexadecimal digits.

    It is over the grading code, the graders, the stored references, the track's file, what submissions run over, and
    the versions of the packages that compute. Nothing of these is imported.
    """
    digest = hashlib.sha256()
    for path in sorted(path.relative_to(root).as_posix() for path in _files(track, root)):
        digest.update(f"{hashlib.sha256((root / path).read_bytes()).hexdigest()}  {path}\n".encode())
    for package, version in versions().items():
        digest.update(f"{version}  {package}\n".encode())
    return digest.hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """What computes: Python and the packages, by name; empty for one that is not installed."""
    return {"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}}


def _files(track: Track, root: Path) -> Iterator[Path]:
    for path in (root / "autograder").rglob("*.py"):
        if not any(path.relative_to(root).match(pattern) for pattern in WITHOUT):
            yield path
    yield from (root / "llamalab").rglob("*.py")
    yield from (root / "tests" / "graders").rglob("*.py")
    yield from (root / "autograder" / "references").glob("*.safetensors")
    yield root / "assignments" / f"{track.name}.toml"
    yield from (path for name in track.provided_files if (path := root / name).is_file())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
