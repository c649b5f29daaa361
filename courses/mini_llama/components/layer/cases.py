"""Inputs for a layer: hidden states, and the weights of the stubs that stand for its four parts."""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import normal


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """``both`` has every part.

    In ``feed_forward`` the first half gives ``attended`` with or without its norm and its residual, because x is 0.
    ``context`` has a mask to pass on.
    """
    generator = torch.Generator().manual_seed(seed)
    C = 8

    def case(B: int = 2, T: int = 5) -> dict[str, Any]:
        return {
            "x": normal(generator, B, T, C),
            "attention": normal(generator, C, C),
            "feed_forward": normal(generator, C, C),
            "attention_norm": normal(generator, 2, C),  # weight and bias
            "ffn_norm": normal(generator, 2, C),
        }

    second = case() | {"x": torch.zeros(2, 5, C), "attention": torch.zeros(C, C)}
    second["attention_norm"][1] = 0.0
    mask = (normal(generator, 3, 1, 6, 6) > 0) | torch.eye(6, dtype=torch.bool)
    return {
        "feed_forward": second | {"attended": normal(generator, 2, 5, C)},
        "both": case(B=3),
        "one": case(B=1, T=1),
        "context": case(B=3, T=6) | {"mask": mask},
    }
