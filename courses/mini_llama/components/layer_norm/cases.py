"""Inputs for LayerNorm. Their mean is not zero and there are few channels, so that C or C - 1 makes a difference."""

from __future__ import annotations

from typing import Any

from .._shared import norms


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Weights are ones and biases zeros, but for the case that is about them."""
    parameters = {"weight": 1.0, "bias": 0.0}
    return norms.cases(seed, parameters, powers=(-2, 3), affine="weight_and_bias", flat=("constant", 1.25))
