"""LoRA: finetuning with a few new weights beside frozen ones (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

A finetuned matrix is W + dW. LoRA says that dW needs only a low rank r and learns it as a product B A, with
r * (in + out) numbers instead of in * out. W itself never moves, so the adapter is small, can be stored alone, and can
be added into W when training is over: the model then is as fast as before.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import NamedTuple

import torch
from torch import nn

TARGETS = ("compute_query", "compute_key", "compute_value", "compute_output")


class LoRALayer(nn.Module):
    """A frozen linear layer and its adapter: ``W x + (alpha / rank) * B A x`` (section 4.1, equation 3).

    ``lora_A`` (rank, in) starts random and ``lora_B`` (out, rank) at zero, so a fresh adapter changes nothing. If both
    started at zero, neither would ever get a gradient.

    Args:
        original_layer: the ``nn.Linear`` to adapt; its parameters are frozen.
        rank: r, at least 1.
        alpha: strength of the adapter; divided by the rank, so that another rank does not need another learning rate.
    """

    def __init__(self, original_layer: nn.Linear, rank: int = 4, alpha: float = 1.0) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"lora: rank must be at least 1, not {rank}")
        self.original_layer = original_layer.requires_grad_(False)
        self.rank, self.alpha = rank, alpha
        self.scaling = alpha / rank
        weight = original_layer.weight
        self.lora_A = nn.Parameter(weight.new_empty(rank, original_layer.in_features))
        self.lora_B = nn.Parameter(weight.new_zeros(original_layer.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self._unmerged: torch.Tensor | None = None

    @property
    def merged(self) -> bool:
        return self._unmerged is not None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out). Multiply by A first: the path through the rank is the cheap one."""
        if self.merged:
            return self.original_layer(x)
        ### BEGIN SOLUTION lora
        return self.original_layer(x) + self.scaling * (x @ self.lora_A.T @ self.lora_B.T)
        ### END SOLUTION lora

    @torch.no_grad()
    def merge(self) -> None:
        """Add the adapter into the weight: ``W + scaling * B A``. The old weight is kept for ``unmerge``."""
        if not self.merged:
            weight = self.original_layer.weight
            self._unmerged = weight.clone()
            weight += self.scaling * (self.lora_B @ self.lora_A)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the old weight back, bit for bit; subtracting the adapter would leave rounding errors."""
        if self._unmerged is not None:
            self.original_layer.weight.copy_(self._unmerged)
            self._unmerged = None


class LoRACount(NamedTuple):
    """Numbers of parameters."""

    lora: int
    trainable: int  # adapters and whatever else is not frozen, such as a classifier's head
    total: int


def apply_lora(
    model: nn.Module, rank: int = 4, alpha: float = 1.0, targets: Collection[str] = TARGETS
) -> nn.Module:
    """Adapt every linear layer named in ``targets``, in place, and freeze the rest but a ``classifier_head``.

    Args:
        targets: last parts of module names; ``w1``, ``w2`` and ``w3`` are possible too.

    Returns:
        the model.

    Raises:
        ValueError: no layer has such a name, or the model has adapters already.
    """
    if any(True for _ in lora_layers(model)):
        raise ValueError("lora: this model has adapters already")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("classifier_head" in name.split("."))
    places = [(name, module) for name, module in model.named_modules() if name.split(".")[-1] in targets]
    if not places:
        raise ValueError(f"lora: the model has no layer named {' or '.join(sorted(targets))}")
    for name, module in places:
        model.set_submodule(name, LoRALayer(module, rank, alpha))
    return model


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALayer]]:
    """Name and module of every adapted layer."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoRALayer))


def count_lora_parameters(model: nn.Module) -> LoRACount:
    """How many parameters there are, and how many of them learn."""
    lora = sum(layer.lora_A.numel() + layer.lora_B.numel() for _, layer in lora_layers(model))
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return LoRACount(lora, trainable, sum(p.numel() for p in model.parameters()))


def get_lora_optimizer_params(model: nn.Module) -> list[nn.Parameter]:
    """What an optimiser should be given: the adapters and the head, nothing frozen."""
    return [p for p in model.parameters() if p.requires_grad]


def merge_lora_weights(model: nn.Module) -> nn.Module:
    """Add every adapter into its weight; the model computes the same, without the extra products."""
    for _, layer in lora_layers(model):
        layer.merge()
    return model


def unmerge_lora_weights(model: nn.Module) -> nn.Module:
    """Undo ``merge_lora_weights`` exactly."""
    for _, layer in lora_layers(model):
        layer.unmerge()
    return model
