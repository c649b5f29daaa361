"""Virtual environments that have the packages of the one these tests run in, so that a test can install the project."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path


def environment(folder: Path) -> Path:
    """Make a virtual environment; returns its Python. What is installed with it stays in this folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    shared = sorted({str(Path(sysconfig.get_path(kind)).resolve()) for kind in ("purelib", "platlib")})
    paths = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))
    (own / "shared.pth").write_text("\n".join(shared) + "\n", encoding="utf-8")
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install(python: Path, project: Path, *options: str) -> None:
    """Install the project into an environment, without a network."""
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
    subprocess.run([python, "-P", "-m", "pip", "install", *offline, *options, project], check=True)
