"""Inputs for the whole model: random weights for each norm, and tokens."""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import normal

SHAPE = dict(vocab_size=29, dim=24, n_layers=2, n_heads=6, n_kv_heads=2, hidden_dim=20, max_seq_len=11)
NORMS = ("attention_norm", "ffn_norm")


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A model of each norm; a course has one of them."""
    generator = torch.Generator().manual_seed(seed)
    return {norm: _case(generator, norm) for norm in ("rmsnorm", "layernorm")}


def _case(generator: torch.Generator, norm: str) -> dict[str, Any]:
    C, F, V = SHAPE["dim"], SHAPE["hidden_dim"], SHAPE["vocab_size"]
    kv = C // SHAPE["n_heads"] * SHAPE["n_kv_heads"]  # K * D
    linear = {
        "attention.compute_query": (C, C),
        "attention.compute_key": (kv, C),
        "attention.compute_value": (kv, C),
        "attention.compute_output": (C, C),
        "feed_forward.w1": (F, C),
        "feed_forward.w2": (C, F),
        "feed_forward.w3": (F, C),
    }
    layers = [f"layers.{i}" for i in range(SHAPE["n_layers"])]
    embeddings = normal(generator, V, C) / 2
    weights = {"tok_embeddings.weight": embeddings, "output.weight": embeddings.clone()}
    for layer in layers:
        for name, (out, into) in linear.items():
            weights[f"{layer}.{name}.weight"] = normal(generator, out, into) / 4
    for name in (*(f"{layer}.{part}" for layer in layers for part in NORMS), "norm"):
        weights[f"{name}.weight"] = 1 + normal(generator, C) / 4
        if norm == "layernorm":
            weights[f"{name}.bias"] = normal(generator, C) / 4
    return {
        "config": {**SHAPE, "norm": norm},
        "tokens": torch.randint(V, (3, 7), generator=generator),
        **{f"weight.{name}": value for name, value in weights.items()},
    }
