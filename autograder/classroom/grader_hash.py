"""One hash of everything that decides marks: when it is the same, so are the marks of the same submission."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib import metadata

from autograder import trust
from autograder.editions import Edition

PACKAGES = ("torch", "numpy", "scipy", "transformers", "peft")  # of the answers, the comparison and the references


def of(edition: Edition) -> str:
    """The hash for an edition, as hexadecimal digits.

    It is over what ``trust.of_marks`` says decides marks, and the versions of the packages that compute. Nothing of
    these is imported.
    """
    digest = hashlib.sha256()
    for name, path in sorted(trust.of_marks(edition).items()):
        digest.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n".encode())
    for package, version in versions().items():
        digest.update(f"{version}  {package}\n".encode())
    return digest.hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """What computes: Python and the packages, by name; empty for one that is not installed."""
    return {"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
