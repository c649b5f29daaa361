"""RMSNorm by ``torch.nn.functional.rms_norm`` in float64."""

from __future__ import annotations

from typing import Any

import torch


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """``output`` (B, T, C)."""
    x, weight = inputs["input"].double(), inputs["weight"].double()
    output = torch.nn.functional.rms_norm(x, weight.shape, weight, eps=inputs["eps"])
    return {"normalised": {"output": output.float()}}
