"""AdamW by torch's own Adam, AdamW and ``clip_grad_norm_`` in float64, one optimizer a parameter.

torch differs from what is asked in two ways, and both are undone through its settings at every step. Its eps is added
after the bias correction (the textbook's form), where the efficient form adds it before. And it always corrects the
bias.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch

DEFAULTS = {"max_grad_norm": None}


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """Trajectories in every form that is right: decay after or before the step, either eps, clipping or none."""
    clipping = (True, False) if inputs["settings"].get("max_grad_norm") is not None else (False,)
    variants: dict[str, dict[str, torch.Tensor]] = {}
    for clips, order, form in itertools.product(clipping, ("after", "before"), ("efficient", "textbook")):
        outputs = _trajectories(inputs, clips, order, form)
        if not any(_same(outputs, other) for other in variants.values()):
            variants[f"{'clipped' if clips else 'unclipped'}, decay {order}, {form}"] = outputs
    return variants


def _same(outputs: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(outputs[name], other[name], rtol=0, atol=1e-7) for name in outputs)


def _trajectories(inputs: dict[str, Any], clips: bool, order: str, form: str) -> dict[str, torch.Tensor]:
    count = sum(name.startswith("parameter ") for name in inputs)
    parameters = [inputs[f"parameter {i}"].double().clone().requires_grad_() for i in range(count)]
    settings = [
        DEFAULTS | inputs["settings"] | group
        for i in range(count)
        for group in inputs["groups"]
        if i in group["params"]
    ]
    movers = [_Mover(p, values, order, form) for p, values in zip(parameters, settings, strict=True)]
    trajectories: list[list[torch.Tensor]] = [[] for _ in parameters]
    for step in range(inputs["gradient 0"].shape[0]):
        for i, parameter in enumerate(parameters):
            absent = [i, step] in inputs["absent"]
            parameter.grad = None if absent else inputs[f"gradient {i}"][step].double()
        if clips:
            for group in inputs["groups"]:
                members = [parameters[i] for i in group["params"]]
                torch.nn.utils.clip_grad_norm_(members, settings[group["params"][0]]["max_grad_norm"])
        for mover, trajectory in zip(movers, trajectories, strict=True):
            mover.step()
            trajectory.append(mover.parameter.detach().float())
    return {f"parameter {i}": torch.stack(trajectory) for i, trajectory in enumerate(trajectories)}


class _Mover:
    """One parameter and torch's optimizer for it, with settings adjusted before every step."""

    def __init__(self, parameter: torch.Tensor, settings: dict[str, Any], order: str, form: str) -> None:
        self.parameter, self.settings, self.order, self.form = parameter, settings, order, form
        self.count = 0
        self.optimizer = torch.optim.Adam([parameter], betas=tuple(settings["betas"]))

    def step(self) -> None:
        if self.parameter.grad is None:
            return
        self.count += 1
        group, settings = self.optimizer.param_groups[0], self.settings
        beta1, beta2 = settings["betas"]
        first, second = 1 - beta1**self.count, math.sqrt(1 - beta2**self.count)
        group["lr"], group["eps"] = settings["lr"], settings["eps"]
        if self.form == "efficient" or not settings["correct_bias"]:
            group["eps"] /= second
        if not settings["correct_bias"]:
            group["lr"] *= first / second
        shrink = 1 - settings["lr"] * settings["weight_decay"]
        with torch.no_grad():
            if self.order == "before":
                self.parameter *= shrink
            self.optimizer.step()
            if self.order == "after":
                self.parameter *= shrink
