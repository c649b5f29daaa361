"""Fixtures shared by every test."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

torch.set_num_threads(2)


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
