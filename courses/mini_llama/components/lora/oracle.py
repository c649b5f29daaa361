"""LoRA by peft's own linear layer, in float64."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Linear
from torch import nn

from .adapter import start


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """``output``, or gradients, or how the factors start, like the adapter's."""
    weight = inputs["weight"].double()
    base = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in inputs, dtype=torch.float64).requires_grad_(False)
    base.load_state_dict({name: inputs[name] for name in ("weight", "bias") if name in inputs})
    config = LoraConfig(r=inputs["rank"], lora_alpha=inputs["alpha"])
    layer = Linear(base, "default", config, r=inputs["rank"], lora_alpha=inputs["alpha"]).double()
    x = inputs["x"].double()
    factors = {"lora_A": layer.lora_A["default"].weight, "lora_B": layer.lora_B["default"].weight}
    if "lora_A" not in inputs:
        starts = {name: start(factor) for name, factor in factors.items()}
        return {"peft": starts | {"output": "unchanged" if torch.equal(layer(x), base(x)) else "changed"}}
    for name, factor in factors.items():
        factor.data.copy_(inputs[name])
    output = layer(x)
    if "gradient" not in inputs:
        return {"peft": {"output": output.detach().float()}}
    output.backward(inputs["gradient"].double())
    gradients = {f"gradient of {name}": factor.grad.float() for name, factor in factors.items()}
    return {"peft": gradients | {"linear layer": "frozen" if base.weight.grad is None else "trained"}}
