"""Calls ``Attention.compute_query_key_value_scores`` on given heads; projections and RoPE are not run."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import torch
from torch import nn

from autograder.worker.contract import StudentModules

MODULES = ("llama",)
HEADS = ("batch", "head", "position", "channel")
OPTIONS = {"causal": ("either", True, False)}
AXES = {name: HEADS for name in ("output", "undropped", "evaluating", "training")}


class KnownDropout(nn.Dropout):
    """Dropout of every fourth element: the same on every machine, for a submission that calls its module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape, and the same shape out."""
        if not self.training or not self.p:
            return x
        kept = torch.arange(x.numel(), device=x.device).reshape(x.shape) % 4 != 3
        return x * kept / (1 - self.p)


def run(submission: StudentModules, inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """``query``, ``key`` and ``value`` (B, H, T, D): the ``output`` (B, H, T, D) in evaluation.

    The option ``causal`` is the config's, false only for False; an earlier course's attention has no such switch and
    ignores it.
    With ``dropout``, its probability, three outputs come back in place of one: ``undropped``, of a module made without
    dropout, and ``evaluating`` and ``training``, of one made with it.
    """
    Attention, causal = submission.module("llama").Attention, options["causal"] is not False
    if "dropout" not in inputs:
        return {"output": _attend(_build(Attention, inputs, causal, 0.0).eval(), inputs)}
    attention = _build(Attention, inputs, causal, inputs["dropout"])
    return {
        "undropped": _attend(_build(Attention, inputs, causal, 0.0).eval(), inputs),
        "evaluating": _attend(attention.eval(), inputs),
        "training": _attend(attention.train(), inputs),
    }


def _build(Attention: type[nn.Module], inputs: dict[str, Any], causal: bool, dropout: float) -> nn.Module:
    _, H, _, D = inputs["query"].shape
    config = importlib.import_module("config").LlamaConfig(
        vocab_size=11,
        dim=H * D,
        n_layers=1,
        n_heads=H,
        n_kv_heads=H,
        max_seq_len=29,
        dropout=dropout,
        causal=causal,
    )
    attention = Attention(config)
    attention.attn_dropout = KnownDropout(dropout)
    return attention


def _attend(attention: nn.Module, inputs: dict[str, Any]) -> Any:
    """One call, on clones. Whatever a submission wants besides, such as a mask, is None."""
    function = attention.compute_query_key_value_scores
    heads = [inputs[name].clone() for name in ("query", "key", "value")]
    parameters = list(inspect.signature(function).parameters.values())
    required = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return function(*heads, *[None] * (len(required) - len(heads)))
