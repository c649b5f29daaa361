"""Calls the LayerNorm that a layer of the submission uses, with given parameters."""

from __future__ import annotations

from typing import Any

from autograder.worker.contract import StudentModules

from .._shared.adapters import norms

MODULES, AXES = norms.MODULES, norms.AXES


def run(submission: StudentModules, inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """``input`` (B, T, C), ``weight`` and ``bias`` (C,) and ``eps``: the ``output`` (B, T, C)."""
    return norms.run(submission, inputs, name="LayerNorm", switch="layernorm")
