"""Calls the LayerNorm that a layer of the submission uses, with given parameters."""

from __future__ import annotations

from typing import Any

from autograder.adapters import norms
from autograder.submission_modules import Submission

MODULES, AXES = norms.MODULES, norms.AXES


def run(submission: Submission, inputs: dict[str, Any]) -> dict[str, Any]:
    """``input`` (B, T, C), ``weight`` and ``bias`` (C,) and ``eps``: the ``output`` (B, T, C)."""
    return norms.run(submission, inputs, name="LayerNorm", switch="layernorm")
