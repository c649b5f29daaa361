"""Random small models as transformers computes them, for comparison with ours."""

from __future__ import annotations

import torch
import transformers

from config import LlamaConfig
from llama import Llama


def random_pair(
    n_heads: int = 6, n_kv_heads: int = 2, theta: float = 10000.0, tied: bool = True, norm: str = "rmsnorm"
) -> tuple[transformers.LlamaForCausalLM, Llama]:
    """A random Llama of transformers and ours with the same weights, both in float64.

    Axis sizes all differ, so that a mixed-up axis cannot go unnoticed. With ``layernorm`` the oracle's norms are
    torch's own ``nn.LayerNorm``.
    """
    torch.manual_seed(n_heads * 100 + n_kv_heads)
    dim, hidden_dim, n_layers, vocab_size, window = 8 * n_heads, 80, 3, 97, 64
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=dim,
            intermediate_size=hidden_dim,
            num_hidden_layers=n_layers,
            num_attention_heads=n_heads,
            num_key_value_heads=n_kv_heads,
            max_position_embeddings=window,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": theta},
            tie_word_embeddings=tied,
            attn_implementation="eager",
        )
    )
    if norm == "layernorm":
        for layer in theirs.model.layers:
            layer.input_layernorm = torch.nn.LayerNorm(dim, eps=1e-5)
            layer.post_attention_layernorm = torch.nn.LayerNorm(dim, eps=1e-5)
        theirs.model.norm = torch.nn.LayerNorm(dim, eps=1e-5)
    for name, parameter in theirs.named_parameters():
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.data = centre + parameter.shape[-1] ** -0.5 * torch.randn(parameter.shape)
    theirs = theirs.double().eval()
    config = LlamaConfig(
        vocab_size=vocab_size,
        dim=dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        hidden_dim=hidden_dim,
        max_seq_len=window,
        rope_theta=theta,
        tie_embeddings=tied,
        norm=norm,
    )
    return theirs, Llama.from_weights(config, our_weights(theirs))


def our_weights(theirs: transformers.LlamaForCausalLM) -> dict[str, torch.Tensor]:
    """The oracle's weights under the names of ``llama.Llama``, RoPE pairs interleaved."""
    config, weights = theirs.config, theirs.state_dict()
    ours = {
        "tok_embeddings.weight": weights["model.embed_tokens.weight"],
        "output.weight": weights["lm_head.weight"],
    }
    parts = {
        "self_attn.q_proj": "attention.compute_query",
        "self_attn.k_proj": "attention.compute_key",
        "self_attn.v_proj": "attention.compute_value",
        "self_attn.o_proj": "attention.compute_output",
        "mlp.gate_proj": "feed_forward.w1",
        "mlp.down_proj": "feed_forward.w2",
        "mlp.up_proj": "feed_forward.w3",
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    heads = {"self_attn.q_proj": config.num_attention_heads, "self_attn.k_proj": config.num_key_value_heads}
    for name, tensor in weights.items():
        if name.startswith("model.norm."):
            ours[name.removeprefix("model.")] = tensor
        elif name.startswith("model.layers."):
            _, _, layer, part = name.split(".", 3)
            stem, kind = part.rsplit(".", 1)
            tensor = interleave(tensor, heads[stem]) if stem in heads else tensor
            ours[f"layers.{layer}.{parts[stem]}.{kind}"] = tensor
    return ours


def interleave(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a projection from transformers' RoPE pairs (i, i + D/2) to this project's (2i, 2i + 1)."""
    D = weight.shape[0] // heads
    return weight.view(heads, 2, D // 2, -1).transpose(1, 2).reshape(weight.shape)
