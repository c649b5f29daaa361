"""Runs ``optimizer.AdamW`` over given gradients and returns every parameter after every step."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from autograder.worker.contract import StudentModules

MODULES = ("optimizer",)
AXES = {f"parameter {i}": ("step", "row", "column") for i in range(4)}


def preload() -> None:
    """Let torch's optimizers skip importing its compiler, which takes as long as all of torch and is not used here.

    ``torch._disable_dynamo`` imports it on the first call of a decorated method, unless the method has this mark. If a
    later torch names it otherwise, only time is lost.
    """
    for name in ("add_param_group", "state_dict", "load_state_dict", "zero_grad"):
        method = getattr(torch.optim.Optimizer, name)
        if hasattr(method, "__wrapped__"):
            method.__wrapped__.__dynamo_disable = method.__wrapped__


def run(submission: StudentModules, inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """``parameter i`` (rows, columns) to its trajectory (steps, rows, columns).

    ``gradient i`` is (steps, rows, columns); ``absent`` lists the [i, step] where there is none; ``groups`` has each
    group's settings and, under "params", its parameters' numbers; ``settings`` are the constructor's.
    """
    AdamW = submission.module("optimizer").AdamW
    count = sum(name.startswith("parameter ") for name in inputs)
    parameters = [torch.nn.Parameter(inputs[f"parameter {i}"].clone()) for i in range(count)]
    groups = [{**group, "params": [parameters[i] for i in group["params"]]} for group in inputs["groups"]]
    settings = dict(inputs["settings"])
    settings["betas"] = tuple(settings["betas"])
    if "max_grad_norm" in inspect.signature(AdamW.__init__).parameters:  # not every course has it
        settings.setdefault("max_grad_norm", None)
    else:
        settings.pop("max_grad_norm", None)
    optimizer = AdamW(groups, **settings)

    trajectories = [[] for _ in parameters]
    for step in range(inputs["gradient 0"].shape[0]):
        for i, parameter in enumerate(parameters):
            absent = [i, step] in inputs["absent"]
            parameter.grad = None if absent else inputs[f"gradient {i}"][step].clone()
        optimizer.step()
        for trajectory, parameter in zip(trajectories, parameters, strict=True):
            trajectory.append(parameter.detach().clone())
    return {f"parameter {i}": torch.stack(trajectory) for i, trajectory in enumerate(trajectories)}
