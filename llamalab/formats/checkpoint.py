"""What every format agrees on: the error, a checkpoint in memory, and the names and shapes of its weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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

    format: str
    path: Path
    config: dict[str, Any]
    tensors: dict[str, tuple[Shape, str]]
    read: Callable[[torch.dtype | None], dict[str, torch.Tensor]]
    tokenizer: Path | None = None
    chat_template: bool = False

    def parameters(self) -> int:
        """Return the number of parameters, tied ones counted once."""
        return sum(prod(shape) for shape, _ in self.tensors.values())


@dataclass(frozen=True)
class Names:
    """How a format spells the names of llama.Llama: whole names, and parts of "layers.N." names."""

    top: dict[str, str] = field(default_factory=dict)
    layer: dict[str, str] = field(default_factory=dict)
    layer_prefix: str = "layers."

    def stored(self, name: str) -> str:
        """Return the format's spelling: "layers.3.ffn_norm.weight" -> "blk.3.ffn_norm.weight" in GGUF."""
        if not name.startswith("layers."):
            return self.top.get(name, name)
        _, number, part = name.split(".", 2)
        return f"{self.layer_prefix}{number}.{self.layer.get(part, part)}"


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
