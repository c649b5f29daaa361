"""What every format agrees on: the error, a checkpoint in memory, and the names and shapes of its weights."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Any

import torch

from llamalab.errors import UserError

Shape = tuple[int, ...]

# The defaults of config.LlamaConfig, for configurations that leave a key out.
DEFAULTS: dict[str, Any] = {
    "vocab_size": 32000,
    "dim": 512,
    "dropout": 0.0,
    "n_layers": 8,
    "n_heads": 8,
    "n_kv_heads": 8,
    "max_seq_len": 1024,
    "layer_norm_eps": 1e-5,
    "multiple_of": 32,
    "hidden_dim": None,
    "norm": "rmsnorm",
    "causal": True,
    "rope_theta": 10000.0,
    "tie_embeddings": True,
}


class FormatError(UserError, ValueError):
    """A file that cannot be read; the message is one sentence naming the file and the reason."""


@dataclass
class Checkpoint:
    """A model in memory, in the names and layout of llama.Llama.

    config: keyword arguments for config.LlamaConfig.
    weights: named as llama.Llama.state_dict() names them; RoPE channels paired (2i, 2i+1). When the config
        ties the embeddings, "output.weight" is the same tensor as "tok_embeddings.weight".
    format: "llamalab", "huggingface", "gguf", "llama2c-bin" or "llama2c-pt".
    tokenizer: a file from which tokenizer.Tokenizer can be built, or None when there is none.
    """

    config: dict[str, Any]
    weights: dict[str, torch.Tensor]
    format: str
    path: Path
    tokenizer: Path | None


@dataclass
class Contents:
    """What a checkpoint file holds, known from its header alone: no weight is read before `read` is called.

    tensors: stored name -> (shape, stored type), each tensor once.
    read: takes the wanted dtype (None keeps the stored one) and returns the weights by their names in
        llama.Llama, without the tied output.
    """

    config: dict[str, Any]
    tensors: dict[str, tuple[Shape, str]]
    read: Callable[[torch.dtype | None], dict[str, torch.Tensor]]
    tokenizer: Path | None

    def parameters(self) -> int:
        """Return the number of parameters, tied ones counted once."""
        return sum(prod(shape) for shape, _ in self.tensors.values())


# What llama.Llama calls the parts of a layer and the modules around the layers, and what they are called in Hugging
# Face's directories, in GGUF and by llama2.c.
SPELLINGS = {
    "tok_embeddings": ("model.embed_tokens", "token_embd", "tok_embeddings"),
    "norm": ("model.norm", "output_norm", "norm"),
    "output": ("lm_head", "output", "output"),
    "attention.compute_query": ("self_attn.q_proj", "attn_q", "attention.wq"),
    "attention.compute_key": ("self_attn.k_proj", "attn_k", "attention.wk"),
    "attention.compute_value": ("self_attn.v_proj", "attn_v", "attention.wv"),
    "attention.compute_output": ("self_attn.o_proj", "attn_output", "attention.wo"),
    "feed_forward.w1": ("mlp.gate_proj", "ffn_gate", "feed_forward.w1"),
    "feed_forward.w2": ("mlp.down_proj", "ffn_down", "feed_forward.w2"),
    "feed_forward.w3": ("mlp.up_proj", "ffn_up", "feed_forward.w3"),
    "attention_norm": ("input_layernorm", "attn_norm", "attention_norm"),
    "ffn_norm": ("post_attention_layernorm", "ffn_norm", "ffn_norm"),
}


def spelling(column: int, layers: str) -> Callable[[str], str]:
    """How a format, a column of SPELLINGS whose layers are "{layers}N.", spells the name of a weight.

    "layers.3.ffn_norm.weight" -> "blk.3.ffn_norm.weight" in GGUF.
    """

    def stored(name: str) -> str:
        layer, number, part, kind = re.fullmatch(r"(layers\.(\d+)\.)?(.+)\.(\w+)", name).groups()
        return f"{layers}{number}." * bool(layer) + f"{SPELLINGS[part][column]}.{kind}"

    return stored


def feed_forward_dim(config: dict[str, Any]) -> int:
    """Return F: hidden_dim, or two thirds of 4 * dim rounded up to a multiple of multiple_of."""
    if config["hidden_dim"] is not None:
        return config["hidden_dim"]
    return config["multiple_of"] * ceil(int(2 * 4 * config["dim"] / 3) / config["multiple_of"])


def layer_shapes(config: dict[str, Any]) -> dict[str, Shape]:
    """Return the shape of every weight of one layer, by its name below "layers.N."."""
    C, F = config["dim"], feed_forward_dim(config)
    kv_dim = C // config["n_heads"] * config["n_kv_heads"]
    shapes: dict[str, Shape] = {
        "attention.compute_query.weight": (C, C),
        "attention.compute_key.weight": (kv_dim, C),
        "attention.compute_value.weight": (kv_dim, C),
        "attention.compute_output.weight": (C, C),
        "feed_forward.w1.weight": (F, C),
        "feed_forward.w2.weight": (C, F),
        "feed_forward.w3.weight": (F, C),
    }
    for norm in ("attention_norm", "ffn_norm"):
        shapes |= norm_shapes(norm, config)
    return shapes


def norm_shapes(name: str, config: dict[str, Any]) -> dict[str, Shape]:
    """Return the shapes of one normalisation: a weight, and for LayerNorm a bias."""
    parts = ("weight", "bias") if config["norm"] == "layernorm" else ("weight",)
    return {f"{name}.{part}": (config["dim"],) for part in parts}


def expected_shapes(config: dict[str, Any]) -> Iterator[tuple[str, Shape]]:
    """Yield (name, shape) of every weight the config asks for, a tied output left out.

    One at a time, so that a file claiming a billion layers fails at the first one it does not hold.
    """
    yield "tok_embeddings.weight", (config["vocab_size"], config["dim"])
    shapes = layer_shapes(config)
    for number in range(config["n_layers"]):
        for part, shape in shapes.items():
            yield f"layers.{number}.{part}", shape
    yield from norm_shapes("norm", config).items()
    if not config["tie_embeddings"]:
        yield "output.weight", (config["vocab_size"], config["dim"])
