"""Inputs for a LoRA layer: hidden states, the linear layer's weights, and the adapter's factors."""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import normal


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Only ``scaled`` depends on the scaling, as elsewhere alpha / rank is 1; ``start`` leaves the factors as made."""
    generator = torch.Generator().manual_seed(seed)

    def case(rank: int = 3, alpha: float = 7.5, size: tuple[int, int] = (5, 7)) -> dict[str, Any]:
        output, input = size
        return {
            "x": normal(generator, 2, 4, input),
            "weight": normal(generator, output, input),
            "lora_A": normal(generator, rank, input),
            "lora_B": normal(generator, output, rank),
            "rank": rank,
            "alpha": alpha,
        }

    fresh = {name: value for name, value in case().items() if name not in ("lora_A", "lora_B")}
    return {
        "unit": case(rank=1, alpha=1.0),
        "scaled": case(),
        "square": case(rank=2, alpha=2.0, size=(6, 6)),
        "bias": case(rank=1, alpha=1.0) | {"bias": normal(generator, 5)},
        "start": fresh,
        "gradients": case(rank=2, alpha=2.0) | {"gradient": normal(generator, 2, 4, 5)},
    }
