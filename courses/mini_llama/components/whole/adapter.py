"""Builds the submission's ``Llama`` with given weights and runs its forward pass, nothing replaced."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from autograder.worker.contract import BadAnswer, StudentModules, unpack

MODULES = ("rope", "llama")
OPTIONS = {"causal": ("either", True, False), "norm": ("rmsnorm", "layernorm")}
AXES = {
    "logits": ("batch", "position", "token"),
    "hidden states": ("batch", "position", "channel"),
    "logits with targets": ("batch", "position", "token"),
}


def run(submission: StudentModules, inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """``logits`` (B, 1, V) and ``hidden states`` (B, T, C) of ``tokens`` (B, T); ``logits with targets`` (B, T, V).

    ``config`` has the fields of ``LlamaConfig`` but for the option ``causal``, and the inputs that begin with "weight."
    are the parameters.
    """
    Llama = submission.module("llama").Llama
    config = importlib.import_module("config").LlamaConfig(**inputs["config"], causal=options["causal"] is not False)
    llama = Llama(config)
    weights = {name.removeprefix("weight."): value for name, value in inputs.items() if name.startswith("weight.")}
    unknown = llama.load_state_dict(weights, strict=False).unexpected_keys
    if unknown:
        raise BadAnswer(f"the model has no parameter {unknown[0]}")
    tokens = inputs["tokens"]
    with torch.inference_mode():
        outputs = unpack(llama.eval()(tokens.clone()), ("logits", "hidden states"), "forward")
        with_targets = unpack(llama(tokens.clone(), tokens.clone()), ("logits", "hidden states"), "forward")
    return {**outputs, "logits with targets": with_targets["logits"]}
