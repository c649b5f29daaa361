"""Inputs for LayerNorm. Their mean is not zero and there are few channels, so that C or C - 1 makes a difference."""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import normal


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Weights are ones and biases zeros, and eps is too small to see, but for the case that is about them."""
    generator = torch.Generator().manual_seed(seed)

    def case(B: int, T: int, C: int, eps: float = 1e-6) -> dict[str, Any]:
        return {
            "input": normal(generator, B, T, C) + 1,
            "weight": torch.ones(C),
            "bias": torch.zeros(C),
            "eps": eps,
        }

    affine = case(2, 3, 6)
    affine["weight"], affine["bias"] = 1 + normal(generator, 6), normal(generator, 6)
    tokens = case(2, 7, 8)
    tokens["input"] *= 2.0 ** torch.randint(-2, 3, (2, 7, 1), generator=generator)  # each of its own size
    constant = case(2, 3, 4)
    constant["input"][1, 2] = 1.25
    return {
        "one_token": case(1, 1, 8),
        "tokens": tokens,
        "weight_and_bias": affine,
        "large_eps": case(2, 3, 10, eps=0.5),
        "constant": constant,
    }
