"""Inputs for greedy generation: prompts, and logits for every context."""

from __future__ import annotations

from typing import Any

import torch

ROWS = 31  # prime, as ``context_table.rows_of`` asks
LOGITS = (2.5, 2.0, 1.25, 1.0, 0.5, 0.0, -0.5, -1.25, -2.0)


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """``window``: the text outgrows the window; ``batch_window``: the prompts alone do."""
    generator = torch.Generator().manual_seed(seed)

    def case(B: int, T: int, steps: int, window: int = 16) -> dict[str, Any]:
        return {
            "idx": torch.randint(len(LOGITS), (B, T), generator=generator),
            "steps": steps,
            "window": window,
            "table": shuffled(generator, LOGITS),
            "settings": {"temperature": 0.0},
        }

    return {
        "one_step": case(B=1, T=4, steps=1),
        "steps": case(B=1, T=3, steps=10),
        "window": case(B=1, T=3, steps=12, window=5),
        "batch": case(B=4, T=3, steps=10),
        "batch_window": case(B=3, T=7, steps=8, window=5),
    }


def shuffled(generator: torch.Generator, *groups: tuple[float, ...]) -> torch.Tensor:
    """A table (ROWS, V) of logits, each row a group's in some order, plus a constant, which softmax ignores.

    The groups take turns.
    """
    rows = []
    for row in range(ROWS):
        logits = torch.tensor(groups[row % len(groups)])
        constant = torch.randint(-4, 5, (1,), generator=generator) / 2
        rows.append(logits[torch.randperm(len(logits), generator=generator)] + constant)
    return torch.stack(rows)
