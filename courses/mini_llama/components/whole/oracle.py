"""The whole model by transformers' Llama in float64; its norms are torch's own ``nn.LayerNorm`` where asked."""

from __future__ import annotations

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

PARTS = {
    "attention.compute_query": "self_attn.q_proj",
    "attention.compute_key": "self_attn.k_proj",
    "attention.compute_value": "self_attn.v_proj",
    "attention.compute_output": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """``logits``, ``hidden states`` and ``logits with targets``, with causal and with full attention."""
    model, tokens = _model(inputs), inputs["tokens"]
    B, T = tokens.shape
    future = torch.ones(T, T, dtype=torch.bool).triu(diagonal=1)
    masks = {"causal": future, "full": torch.zeros_like(future)}
    return {name: _outputs(model, tokens, hidden.expand(B, 1, T, T)) for name, hidden in masks.items()}


def _outputs(model: LlamaForCausalLM, tokens: torch.Tensor, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
    scores = torch.zeros(hidden.shape, dtype=torch.float64).masked_fill(hidden, float("-inf"))  # added before softmax
    with torch.inference_mode():
        states = model.model(tokens, attention_mask=scores).last_hidden_state  # (B, T, C)
        logits = model.lm_head(states).float()
    return {"logits": logits[:, -1:], "hidden states": states.float(), "logits with targets": logits}


def _model(inputs: dict[str, Any]) -> LlamaForCausalLM:
    shape = inputs["config"]
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape["vocab_size"],
            hidden_size=shape["dim"],
            intermediate_size=shape["hidden_dim"],
            num_hidden_layers=shape["n_layers"],
            num_attention_heads=shape["n_heads"],
            num_key_value_heads=shape["n_kv_heads"],
            max_position_embeddings=shape["max_seq_len"],
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            attn_implementation="eager",
        )
    )
    if shape["norm"] == "layernorm":
        for layer in model.model.layers:
            layer.input_layernorm = torch.nn.LayerNorm(shape["dim"], eps=1e-5)
            layer.post_attention_layernorm = torch.nn.LayerNorm(shape["dim"], eps=1e-5)
        model.model.norm = torch.nn.LayerNorm(shape["dim"], eps=1e-5)
    model.load_state_dict(dict(_renamed(name, value, shape) for name, value in inputs.items() if "weight." in name))
    return model.double().eval()


def _renamed(name: str, value: torch.Tensor, shape: dict[str, Any]) -> tuple[str, torch.Tensor]:
    """One parameter as transformers calls it, and pairs the channels of a head: i with i + D/2."""
    name = name.removeprefix("weight.")
    if not name.startswith("layers."):
        renamed = name.replace("tok_embeddings", "embed_tokens")
        return ("lm_head.weight" if name == "output.weight" else f"model.{renamed}"), value
    _, layer, part = name.split(".", 2)
    part, kind = part.rsplit(".", 1)
    if part in ("attention.compute_query", "attention.compute_key"):
        D = shape["dim"] // shape["n_heads"]
        value = value.unflatten(0, (-1, D // 2, 2)).transpose(1, 2).flatten(0, 2)
    return f"model.layers.{layer}.{PARTS[part]}.{kind}", value
