"""Wraps a known ``nn.Linear`` in ``lora.LoRALayer`` and runs it, as it starts or with given factors."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from autograder.worker.contract import BadAnswer, StudentModules

MODULES = ("lora",)
AXES = {
    "output": ("batch", "position", "channel"),
    "gradient of lora_A": ("rank", "input"),
    "gradient of lora_B": ("output", "rank"),
}


def run(submission: StudentModules, inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """``x`` (B, T, in), the linear layer's ``weight`` (out, in) and perhaps ``bias`` (out,), ``rank`` and ``alpha``.

    Without ``lora_A`` (rank, in) and ``lora_B`` (out, rank), how the adapter starts: its values are anybody's choice.
    With them the ``output`` (B, T, out); with the output's ``gradient`` as well, those of both factors, and whether the
    linear layer got any.
    """
    base = _base(inputs)
    plain = base(inputs["x"]).detach()
    layer = submission.module("lora").LoRALayer(base, inputs["rank"], inputs["alpha"])
    factors = {name: _factor(layer, name, shape) for name, shape in _shapes(inputs).items()}
    if "lora_A" not in inputs:
        same = torch.allclose(layer(inputs["x"].clone()), plain, rtol=1e-4, atol=1e-5)
        return {name: start(factor) for name, factor in factors.items()} | {
            "output": "unchanged" if same else "changed"
        }
    for name, factor in factors.items():
        factor.data.copy_(inputs[name])
    if "gradient" not in inputs:
        return {"output": layer(inputs["x"].clone())}
    output = layer(inputs["x"].clone().requires_grad_())
    if output.requires_grad:
        (
            output * inputs["gradient"]
        ).sum().backward()  # from a number: torch imports half a second less than from a tensor
    gradients = {f"gradient of {name}": factor.grad for name, factor in factors.items()}
    return gradients | {"linear layer": "frozen" if base.weight.grad is None else "trained"}


def start(factor: torch.Tensor) -> str:
    """``zero``, ``constant`` or ``random``."""
    if not factor.any():
        return "zero"
    return "constant" if (factor == factor.flatten()[0]).all() else "random"


def _base(inputs: dict[str, Any]) -> nn.Linear:
    weight = inputs["weight"]
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in inputs)
    linear.load_state_dict({name: inputs[name] for name in ("weight", "bias") if name in inputs})
    return linear


def _shapes(inputs: dict[str, Any]) -> dict[str, tuple[int, int]]:
    output, input = inputs["weight"].shape
    return {"lora_A": (inputs["rank"], input), "lora_B": (output, inputs["rank"])}


def _factor(layer: nn.Module, name: str, shape: tuple[int, int]) -> torch.Tensor:
    """``lora_A`` or ``lora_B``, which may be a linear layer of its own.

    Raises:
        BadAnswer: it has another shape.
    """
    factor = getattr(layer, name)
    factor = getattr(factor, "weight", factor)
    if tuple(factor.shape) != shape:
        axes = ", ".join(AXES[f"gradient of {name}"])
        raise BadAnswer(f"{name} has shape {tuple(factor.shape)}; ({axes}) = {shape} was expected")
    return factor
