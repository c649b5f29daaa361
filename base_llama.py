"""What every Llama shares: loading, initialisation and the key/value cache. Handed to the student complete."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from config import LlamaConfig

__all__ = ["LlamaConfig", "LlamaPreTrainedModel", "KVCache", "Context"]


class KVCache:
    """Keys and values of the positions a model has already seen, so that each is computed once.

    Without it, writing token n means running the whole model over all n tokens before it. With it, the model runs
    over the one new token, whose query looks at the stored keys and values. The numbers are the same.

    Args:
        config: the model's configuration.
        batch_size: B.
        capacity: positions to make room for; at most the window is useful.
        dtype, device: those of the model.
    """

    def __init__(
        self, config: LlamaConfig, batch_size: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (batch_size, config.n_kv_heads, capacity, config.head_dim)
        self.keys = [torch.empty(shape, dtype=dtype, device=device) for _ in range(config.n_layers)]
        self.values = [torch.empty(shape, dtype=dtype, device=device) for _ in range(config.n_layers)]
        self.length = 0

    def append(self, layer_id: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the new positions of one layer: two (B, K, T, D) in, all S positions so far (B, K, S, D) out.

        ``length`` moves only when ``advance`` says that every layer is done.
        """
        T = key.shape[2]
        keys, values = self.keys[layer_id], self.values[layer_id]
        keys.narrow(2, self.length, T).copy_(key)
        values.narrow(2, self.length, T).copy_(value)
        return keys.narrow(2, 0, self.length + T), values.narrow(2, 0, self.length + T)

    def advance(self, T: int) -> None:
        """Count T more positions as seen, after the last layer."""
        self.length += T


@dataclass
class Context:
    """What attention needs to know beyond its input. ``None`` everywhere is the plain case: a whole sequence.

    Attributes:
        positions: (T,) or (B, T): where each token stands, for RoPE.
        mask: (B, 1, T, S) booleans, True where a query may look at a key. None: as ``config.causal`` says.
        cache: keys and values of earlier positions.
    """

    positions: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    cache: KVCache | None = None


class LlamaPreTrainedModel(nn.Module):
    """Base class of ``llama.Llama``: keeps the configuration, initialises weights, reads checkpoints."""

    config_class = LlamaConfig
    base_model_prefix = "llama"

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = config.vocab_size
        self.n_layers = config.n_layers

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def init_weights(self) -> None:
        """Random weights as in GPT-2 (Radford et al. 2019, section 2.3): normal with deviation 0.02.

        The two projections that write into the residual stream get less: 2 * n_layers of them add up there, and
        dividing by the root of that number keeps the sum's deviation at 0.02.
        """
        self.apply(self._init_weights)
        for name, parameter in self.named_parameters():
            if name.endswith(("compute_output.weight", "feed_forward.w2.weight")):
                nn.init.normal_(parameter, mean=0.0, std=0.02 / math.sqrt(2 * self.config.n_layers))

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)

    @classmethod
    def from_checkpoint(cls, path: str | Path, dtype: torch.dtype = torch.float32, **overrides) -> LlamaPreTrainedModel:
        """Build the model that a checkpoint describes and fill in its weights, in evaluation mode.

        Args:
            path: any format of ``llamalab.formats``: llama2.c ``.pt`` and ``.bin``, GGUF, a Hugging Face
                directory, this project's own directory.
            dtype: of the parameters.
            **overrides: configuration fields to change, for instance ``dropout=0.1`` or ``causal=False``.

        Raises:
            llamalab.formats.FormatError: a file that is damaged, foreign or does not fit the model.
        """
        from llamalab import formats

        checkpoint = formats.load(path, dtype=dtype)
        config = LlamaConfig(**{**checkpoint.config, **overrides})
        return cls.from_weights(config, checkpoint.weights)

    @classmethod
    def from_weights(cls, config: LlamaConfig, weights: Mapping[str, torch.Tensor]) -> LlamaPreTrainedModel:
        """A model of this configuration that uses the given tensors as its parameters, without a copy."""
        with torch.device("meta"), _NoRandomWeights():  # they would be replaced at once
            model = cls(config)
        _fill(model, weights)
        if any(tensor.is_meta for tensor in chain(model.parameters(), model.buffers())):
            model = cls(config)  # it computes something of its own in __init__
            _fill(model, weights)
        return model.eval()


class _NoRandomWeights(TorchFunctionMode):
    """While active, the functions of ``torch.nn.init`` that take a tensor leave it as it is."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


def _fill(model: nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Give ``model`` these tensors as parameters. Shared parameters stay shared, whatever ``weights`` says."""
    tied = model.output.weight is model.tok_embeddings.weight
    missing, unexpected = model.load_state_dict(weights, strict=False, assign=True)
    if tied:
        model.output.weight = model.tok_embeddings.weight
        missing = [name for name in missing if name != "output.weight"]
    if missing or unexpected:
        kind, name = ("no weight for", missing[0]) if missing else ("a weight the model does not have:", unexpected[0])
        raise ValueError(f"the checkpoint has {kind} {name}")
