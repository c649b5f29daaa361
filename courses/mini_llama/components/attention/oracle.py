"""Attention by ``torch.nn.functional.scaled_dot_product_attention`` in float64, with and without a causal mask."""

from __future__ import annotations

from typing import Any

import torch


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """``output`` (B, H, T, D), or with dropout ``undropped`` and ``evaluating``, which are the same."""
    names = ("undropped", "evaluating") if "dropout" in inputs else ("output",)
    heads = [inputs[name].double() for name in ("query", "key", "value")]
    variants = {}
    for variant in ("causal", "full"):
        output = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=variant == "causal")
        variants[variant] = {name: output.float() for name in names}
    return variants
