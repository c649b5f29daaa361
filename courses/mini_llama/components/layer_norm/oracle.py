"""LayerNorm by ``torch.nn.functional.layer_norm`` in float64."""

from __future__ import annotations

from typing import Any

import torch


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """``output`` (B, T, C)."""
    x, weight, bias = (inputs[name].double() for name in ("input", "weight", "bias"))
    output = torch.nn.functional.layer_norm(x, weight.shape, weight, bias, eps=inputs["eps"])
    return {"normalised": {"output": output.float()}}
