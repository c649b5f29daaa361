"""Rotary embeddings by transformers, which pairs channel i with i + D/2: the channels are reordered around it."""

from __future__ import annotations

from typing import Any

import torch
from transformers.models.llama.configuration_llama import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """``query`` and ``key``, rotated."""
    query, key = inputs["query"].double(), inputs["key"].double()
    T, D = query.shape[1], query.shape[-1]
    config = LlamaConfig(
        hidden_size=D,
        num_attention_heads=1,
        max_position_embeddings=inputs["max_seq_len"],
        rope_parameters={"rope_type": "default", "rope_theta": inputs.get("theta", 10000.0)},
    )
    rotary = LlamaRotaryEmbedding(config)
    angles = torch.outer(torch.arange(T).double(), rotary.inv_freq.double()).repeat(1, 2)  # (T, D)
    rotated = apply_rotary_pos_emb(
        _halves(query), _halves(key), angles.cos()[None], angles.sin()[None], unsqueeze_dim=2
    )
    return {"rotated": {name: _pairs(x).float() for name, x in zip(("query", "key"), rotated, strict=True)}}


def _halves(x: torch.Tensor) -> torch.Tensor:
    """Channels (a0, b0, a1, b1, ...) as (a0, a1, ..., b0, b1, ...)."""
    return torch.cat((x[..., 0::2], x[..., 1::2]), dim=-1)


def _pairs(x: torch.Tensor) -> torch.Tensor:
    """The inverse of ``_halves``."""
    return torch.stack(x.chunk(2, dim=-1), dim=-1).flatten(-2)
