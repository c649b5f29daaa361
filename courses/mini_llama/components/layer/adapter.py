"""Calls ``llama.LlamaLayer`` with stubs for its attention, its feed-forward network and its two norms.

The docstring asks for ``context`` to reach the attention. An earlier course's layer takes x alone and cannot pass it
on; then the stub has it already, so that such a layer loses nothing.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import torch
from torch import nn

from autograder.worker.contract import StudentModules

MODULES = ("llama",)
AXES = {name: ("batch", "position", "channel") for name in ("output", "first sum")}


class Mixing(nn.Module):
    """Stands for attention: the mean over all that a position may see, then a linear map.

    Args:
        weight: (C, C).
        offset: (B, T, C), added to that; none if not given.
    """

    def __init__(self, weight: torch.Tensor, offset: torch.Tensor | None = None) -> None:
        super().__init__()
        self.weight, self.offset = weight, offset
        self.context: Any = None  # for a layer that cannot pass it on

    def forward(self, x: torch.Tensor, context: Any = None, *extras: Any, **named: Any) -> torch.Tensor:
        """(B, T, C) -> (B, T, C). ``context.mask`` (B, 1, T, T) says what is seen; without one, what came before."""
        mask = getattr(self.context if context is None else context, "mask", None)
        T = x.shape[1]
        visible = torch.ones(T, T, dtype=x.dtype).tril()[None] if mask is None else mask[:, 0].to(x.dtype)
        mixed = visible @ x / visible.sum(dim=-1, keepdim=True) @ self.weight
        return mixed if self.offset is None else mixed + self.offset


class Positionwise(nn.Module):
    """Stands for the feed-forward network: ``tanh(x W)`` at every position by itself."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: torch.Tensor, *extras: Any, **named: Any) -> torch.Tensor:
        """(..., C) -> (..., C)."""
        return torch.tanh(x @ self.weight)


class Recorded(nn.Module):
    """A stub that appends what it is given to ``read``, then does what it does."""

    def __init__(self, stub: nn.Module, read: list[torch.Tensor]) -> None:
        super().__init__()
        self.stub, self.read = stub, read

    def forward(self, x: torch.Tensor, *extras: Any, **named: Any) -> torch.Tensor:
        """(..., C) -> (..., C)."""
        self.read.append(x.clone())
        return self.stub(x)


def parts(inputs: dict[str, Any], read: list[torch.Tensor]) -> dict[str, nn.Module]:
    """The four stubs, by the names that a layer has for them, in the dtype of the inputs.

    Args:
        read: gets what the norms and the feed-forward network are given: in a right layer x, then the first sum.
    """
    return {
        "attention": Mixing(inputs["attention"], inputs.get("attended")),
        "feed_forward": Recorded(Positionwise(inputs["feed_forward"]), read),
        "attention_norm": Recorded(_norm(inputs["attention_norm"]), read),
        "ffn_norm": Recorded(_norm(inputs["ffn_norm"]), read),
    }


def _norm(weight_and_bias: torch.Tensor) -> nn.LayerNorm:
    norm = nn.LayerNorm(weight_and_bias.shape[1], dtype=weight_and_bias.dtype).requires_grad_(False)
    norm.load_state_dict({"weight": weight_and_bias[0], "bias": weight_and_bias[1]})
    return norm


def run(submission: StudentModules, inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """``x`` (B, T, C), the stubs' weights and perhaps ``mask`` (B, 1, T, T): the layer's ``output`` (B, T, C).

    Also the ``first sum`` (B, T, C), which is what the second half reads, whatever it makes of it; a layer without a
    second half returns it.
    """
    LlamaLayer = submission.module("llama").LlamaLayer
    base_llama = importlib.import_module("base_llama")
    x = inputs["x"].clone()
    config = base_llama.LlamaConfig(dim=x.shape[-1], n_layers=1, n_heads=2, n_kv_heads=1, hidden_dim=10, dropout=0.0)
    layer = LlamaLayer(0, config)
    read: list[torch.Tensor] = []
    stubs = parts(inputs, read)
    for name, stub in stubs.items():
        setattr(layer, name, stub)
    options = {}
    if "mask" in inputs:
        context = base_llama.Context(mask=inputs["mask"])
        if "context" in inspect.signature(layer.forward).parameters:
            options["context"] = context
        else:
            stubs["attention"].context = context
    output = layer(x, **options)
    first_sum = read[1] if len(read) > 1 else output
    as_rows = isinstance(first_sum, torch.Tensor) and first_sum.numel() == x.numel()
    return {"output": output, "first sum": first_sum.reshape(x.shape) if as_rows else first_sum}
