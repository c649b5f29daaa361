"""A layer by ``torch.nn.TransformerEncoderLayer``, norms first, in float64, with the stubs for its four parts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from .adapter import parts


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """``output``, and the ``first sum``."""
    doubles = {name: value.double() for name, value in inputs.items() if name != "mask"}
    read: list[torch.Tensor] = []
    stubs = parts(doubles, read)
    context = SimpleNamespace(mask=inputs.get("mask"))
    layer = nn.TransformerEncoderLayer(doubles["x"].shape[-1], nhead=1, dropout=0.0, norm_first=True)
    layer.train()  # in evaluation a fused kernel would bypass the stubs
    layer.norm1, layer.norm2 = stubs["attention_norm"], stubs["ffn_norm"]
    layer._sa_block = lambda x, *masks, **options: stubs["attention"](x, context)
    layer._ff_block = stubs["feed_forward"].forward
    output = layer(doubles["x"])
    return {"pre-norm": {"output": output.float(), "first sum": read[1].float()}}
