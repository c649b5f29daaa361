"""One module a component: ``cases(seed)`` gives named inputs, tensors and plain JSON, for its adapter and its oracle.

Inputs are random and every axis has a size of its own, so that nothing wrong can look right by symmetry.
"""

from __future__ import annotations

import torch


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Normal numbers, float32, rounded to multiples of 2^-12: processors differ in the last bit of a random number."""
    return (torch.randn(shape, generator=generator, dtype=torch.float64) * 4096).round().div(4096).float()
