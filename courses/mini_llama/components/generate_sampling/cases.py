"""Inputs for sampling: prompts, logits for every context, and settings.

The logits are always the same but for their order, so that the graders' power does not depend on the seed.
"""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import Case

from ..generate_greedy.cases import LOGITS, ROWS, shuffled

PEAKED = (3.0, 1.0, 0.5, 0.25, 0.0, -0.5, -1.0, -1.5, -2.0)
FIRST_ALONE = 8  # rows that are continued one at a time even where most may be one batch, which is far faster
FLAT = (0.8, 0.6, 0.4, 0.2, 0.0, -0.2, -0.4, -0.6, -0.8)


def cases(seed: int, options: dict[str, Any]) -> dict[str, Case | dict[str, Any]]:
    """One row at a time, then the same questions of a batch.

    With LOGITS, the fourth token is the last to reach epsilon at temperature 1 (0.092 and 0.056), the sixth at
    temperature 2 (0.073 and 0.057), and the second at temperature 0.5 (0.24 and 0.054); of FLAT none reaches 0.24.
    """
    generator = torch.Generator().manual_seed(seed)

    def case(B: int, steps: int, alone: int, groups=(LOGITS,), T: int = 3, window: int = 16, **settings):
        return {
            "idx": torch.randint(len(LOGITS), (B, T), generator=generator),
            "steps": steps,
            "window": window,
            "table": shuffled(generator, *groups),
            "group": torch.arange(ROWS) % len(groups),
            "alone": alone,
            "settings": settings,
        }

    def one(B: int = 64, **settings) -> Case:
        return Case(case(B, steps=10, alone=B, **settings), quick={"alone": FIRST_ALONE})

    def batch(**settings) -> dict[str, Any]:
        return case(B=400, steps=10, alone=0, **settings)

    return {
        "low": one(temperature=0.5),
        "high": one(temperature=2.5),
        "window": one(temperature=0.6, window=5),
        "batch": batch(temperature=0.6),
        "batch_window": batch(temperature=0.6, T=7, window=5),
        "epsilon": one(temperature=1.0, epsilon=0.075),
        "epsilon_high": one(temperature=2.0, epsilon=0.065),
        "one_left": one(B=30, temperature=1.0, epsilon=0.5, groups=(PEAKED,)),
        "none_left": one(B=40, temperature=1.0, epsilon=0.3, groups=(FLAT,)),
        "batch_epsilon": batch(temperature=0.5, epsilon=0.08),
        "batch_some_left": batch(temperature=1.0, epsilon=0.24, groups=(LOGITS, FLAT)),
    }
