"""Builds the submission's ``Llama`` with given weights and runs its forward pass, nothing replaced."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from autograder.adapters import unpack
from autograder.call import BadAnswer
from autograder.submission_modules import Submission

MODULES = ("rope", "llama")
AXES = {
    "logits": ("batch", "position", "token"),
    "hidden states": ("batch", "position", "channel"),
    "logits with targets": ("batch", "position", "token"),
}


def run(submission: Submission, inputs: dict[str, Any]) -> dict[str, Any]:
    """``logits`` (B, 1, V) and ``hidden states`` (B, T, C) of ``tokens`` (B, T); ``logits with targets`` (B, T, V).

    ``config`` has the fields of ``LlamaConfig`` but for ``causal``, which is true if not given, and the inputs that
    begin with "weight." are the parameters.
    """
    Llama = submission.module("llama").Llama
    config = importlib.import_module("config").LlamaConfig(**inputs["config"], causal=inputs.get("causal", True))
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
