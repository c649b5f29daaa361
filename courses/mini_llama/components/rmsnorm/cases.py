"""Inputs for RMSNorm. Their mean is not zero, so that subtracting it shows."""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import normal


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Weights are ones, and eps is too small to see, but for the case that is about them."""
    generator = torch.Generator().manual_seed(seed)

    def case(B: int, T: int, C: int, eps: float = 1e-6) -> dict[str, Any]:
        return {"input": normal(generator, B, T, C) + 1, "weight": torch.ones(C), "eps": eps}

    weight = case(2, 3, 6)
    weight["weight"] = 1 + normal(generator, 6)
    tokens = case(2, 7, 8)
    tokens["input"] *= 2.0 ** torch.randint(-3, 4, (2, 7, 1), generator=generator)  # each of its own size
    zeros = case(2, 3, 4)
    zeros["input"][1, 2] = 0
    return {
        "one_token": case(1, 1, 8),
        "tokens": tokens,
        "weight": weight,
        "large_eps": case(2, 3, 10, eps=0.5),
        "zeros": zeros,
    }
