"""One class for all attacks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.attacks.arena import Arena


def why_not() -> str:
    """Why there can be no sandbox here; empty if there can."""
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap is not installed"
    tried = subprocess.run([program, "--unshare-all", "--ro-bind", "/", "/", "true"], capture_output=True, text=True)
    return f"bubblewrap does not work here: {tried.stderr.strip()}" if tried.returncode else ""


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    if reason := why_not():
        pytest.skip(reason)
    arena = Arena(tmp_path_factory.mktemp("arena"))
    yield arena
    arena.assert_neighbour_as_before()
    arena.close()


@pytest.fixture(scope="session")
def unprotected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Without a sandbox, for attacks that only look."""
    arena = Arena(tmp_path_factory.mktemp("unprotected"), "process")
    yield arena
    arena.close()
