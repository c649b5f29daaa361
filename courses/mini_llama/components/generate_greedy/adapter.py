"""Runs ``Llama.generate`` at temperature 0, with a table of logits for a model."""

from __future__ import annotations

from typing import Any

from autograder.worker.contract import StudentModules

from .._shared.adapters import context_table

MODULES = ("llama", "sampling")
AXES = {"tokens": ("row", "position")}


def run(submission: StudentModules, inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """``tokens`` (B, T + steps): the prompt ``idx`` (B, T), continued."""
    llama = context_table.model(submission, inputs)
    return {"tokens": context_table.generate(llama, inputs["idx"], inputs)}
