"""Inputs for scaled dot-product attention: heads (B, H, T, D)."""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import normal


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each case is about one thing.

    - ``plain``: more positions than channels.
    - ``wide``: more channels than positions, and a batch of one.
    - ``uniform``: queries of zeros, so that every weight of a row is the same, however scores are scaled.
    - ``large_scores``: some over 100, whose exponential float32 cannot hold.
    - ``dropout``: so many channels that the weights can be computed back from output and values.
    """
    generator = torch.Generator().manual_seed(seed)

    def heads(B: int, H: int, T: int, D: int) -> dict[str, Any]:
        return {name: normal(generator, B, H, T, D) for name in ("query", "key", "value")}

    uniform, large = heads(2, 3, 6, 4), heads(2, 3, 7, 4)
    uniform["query"] = torch.zeros_like(uniform["query"])
    large["query"] *= 12
    large["key"] *= 6
    return {
        "plain": heads(2, 3, 7, 4),
        "wide": heads(1, 4, 3, 10),
        "uniform": uniform,
        "large_scores": large,
        "dropout": heads(2, 3, 5, 16) | {"dropout": 0.25},
    }
