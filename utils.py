"""Small helpers shared by the commands and the student modules. Handed to the student complete."""

from __future__ import annotations

import random

import torch

__all__ = ["seed_everything"]


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators, so that a run can be repeated."""
    import numpy as np  # imported here: text generation does not need it and starts sooner without

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
