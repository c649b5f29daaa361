"""Fixtures shared by every test."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
collect_ignore_glob = ["fixtures/*"]  # a course of their own has graders too
sys.path.insert(0, str(ROOT))

if "PYTEST_XDIST_WORKER" in os.environ:  # one process a core; threads of its own would only get in the others' way
    os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


@pytest.fixture
def asset() -> Callable[[str], Path]:
    """Path of a fetched asset; the test is skipped, saying so, where it has not been fetched."""

    def locate(name: str) -> Path:
        from llamalab import assets

        path = assets.locate(name)
        if path is None:
            pytest.skip(f"{name} is not here: python -m llamalab.assets fetch {name}")
        return path

    return locate
