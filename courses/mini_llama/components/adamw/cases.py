"""Inputs for AdamW: parameters, a gradient for each at every step, and settings."""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import normal

SHAPES = ((3, 4), (2, 5), (1, 6))
SETTINGS = dict(lr=0.05, betas=[0.8, 0.95], eps=1e-6, weight_decay=0.0, correct_bias=True)


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each case switches one thing on; lr times weight decay is large enough to be seen in float32."""
    generator = torch.Generator().manual_seed(seed)

    def case(parameters: int = 1, steps: int = 5, groups=None, absent=(), **settings) -> dict[str, Any]:
        tensors = {}
        for i in range(parameters):
            tensors[f"parameter {i}"] = normal(generator, *SHAPES[i])
            tensors[f"gradient {i}"] = normal(generator, steps, *SHAPES[i])
        groups = groups or [{"params": list(range(parameters))}]
        return {**tensors, "groups": groups, "absent": list(absent), "settings": SETTINGS | settings}

    return {
        "one_step": case(steps=1),
        "steps": case(steps=6),
        "uncorrected": case(correct_bias=False),
        "decay": case(weight_decay=0.5),
        "decay_uncorrected": case(weight_decay=0.5, correct_bias=False),
        "large_eps": case(eps=0.2),
        "parameters": case(parameters=3),
        "groups": case(
            parameters=3,
            groups=[
                {"params": [0, 1], "lr": 0.02, "weight_decay": 0.6},
                {"params": [2], "lr": 0.3, "betas": [0.6, 0.7], "eps": 1e-3, "weight_decay": 0.1},
            ],
        ),
        "absent": case(parameters=2, absent=[[0, 0], [0, 1], [1, 3]], weight_decay=0.2),
        "clipped": case(parameters=2, max_grad_norm=0.5, eps=0.2),
    }
