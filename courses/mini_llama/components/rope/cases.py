"""Inputs for rotary position embeddings."""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import normal


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """``plain``: equal heads. ``grouped``: H = 6, K = 3. ``theta``: a base that is not the default. ``one``: T = 1."""
    generator = torch.Generator().manual_seed(seed)

    def pair(B: int, T: int, H: int, K: int, D: int) -> dict[str, Any]:
        return {"query": normal(generator, B, T, H, D), "key": normal(generator, B, T, K, D), "max_seq_len": 23}

    return {
        "plain": pair(2, 7, 4, 4, 10),
        "grouped": pair(2, 7, 6, 3, 10),
        "theta": pair(2, 5, 3, 3, 8) | {"theta": 37.0},
        "window": pair(1, 23, 2, 2, 4),
        "one": pair(3, 1, 4, 2, 6),
    }
