"""Every row by itself and without padding, in float64: torch's ``linear`` and ``log_softmax`` of its last hidden state.

Dropout is the known one: a factor of 0 or 1 / (1 - p) for each channel.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from .adapter import DROPOUT, KnownLlama


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """``log_probabilities`` (B, L)."""
    ids = inputs["input_ids"]
    real = inputs.get("attention_mask", torch.ones_like(ids)).bool()
    llama = KnownLlama(inputs["embeddings"].double(), inputs["layers"].double()).eval()
    last = torch.stack([llama(row[kept][None])[1][0, -1] for row, kept in zip(ids, real, strict=True)])  # (B, C)
    if inputs["training"]:
        last = last * inputs["kept"][: last.shape[1]].double() / (1 - DROPOUT)
    logits = F.linear(last, inputs["head"].double(), inputs["head_bias"].double())
    return {"last real token": {"log_probabilities": F.log_softmax(logits, dim=-1).float()}}
