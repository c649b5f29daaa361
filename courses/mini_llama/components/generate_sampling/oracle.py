"""The probabilities that tokens are to be drawn with, by ``transformers``' own temperature and epsilon."""

from __future__ import annotations

from typing import Any

import torch
from transformers import EpsilonLogitsWarper, TemperatureLogitsWarper

from autograder.instructor.contract import Draws


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """``counts`` as draws from probabilities (groups, V), by rank.

    What to do where no token reaches epsilon is left open: the most likely one, all of them as they were, or all of
    them alike are accepted.
    """
    table, group = inputs["table"].double(), inputs["group"]
    first_rows = [int((group == number).nonzero()[0]) for number in range(int(group.max()) + 1)]
    logits = table[first_rows].sort(dim=1, descending=True).values  # (groups, V)
    temperature, epsilon = inputs["settings"]["temperature"], inputs["settings"].get("epsilon")
    scaled = TemperatureLogitsWarper(temperature)(None, logits)
    probabilities = scaled.softmax(dim=1)
    if not epsilon:
        return _of_draws(inputs, {"all": probabilities})
    kept = EpsilonLogitsWarper(epsilon)(None, scaled).softmax(dim=1)
    none = probabilities.amax(dim=1, keepdim=True) < epsilon  # (groups, 1)
    if not none.any():
        return _of_draws(inputs, {"kept": kept})
    whole = torch.where(none, probabilities, kept)
    uniform = torch.where(none, 1 / kept.shape[1], kept)
    return _of_draws(inputs, {"most likely": kept, "all": whole, "uniform": uniform})


def _of_draws(inputs: dict[str, Any], variants: dict[str, torch.Tensor]) -> dict[str, dict[str, Any]]:
    draws = len(inputs["idx"]) * inputs["steps"]
    return {name: {"counts": Draws(probabilities.numpy(), draws)} for name, probabilities in variants.items()}
