"""Inputs for RMSNorm. Their mean is not zero, so that subtracting it shows."""

from __future__ import annotations

from typing import Any

from .._shared import norms


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Weights are ones, but for the case that is about them."""
    return norms.cases(seed, {"weight": 1.0}, powers=(-3, 4), affine="weight", flat=("zeros", 0.0))
