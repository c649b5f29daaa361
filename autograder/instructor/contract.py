"""What the instructor's part of a component may use: ``cases.py``, ``oracle.py``, ``mistakes.py``, ``alternatives.py``.

``cases(seed, options)`` gives named cases: inputs by name, tensors and plain values, or a ``Case`` of them. Inputs are
random and every axis has a size of its own, so that nothing wrong can look right by symmetry.

``expected(inputs, options)`` gives the right outputs by variant, from code that nobody here wrote: float64 inside, and
stored as float32 where the submission is to answer in float32. Random answers are expected as ``Draws``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from autograder.answers import Draws
from autograder.instructor.bank import Alternative, Body, Edit, File, FileEdit, Mistake, right, wrong

__all__ = ["Alternative", "Body", "Case", "Draws", "Edit", "File", "FileEdit", "Mistake", "normal", "right", "wrong"]


@dataclass(frozen=True)
class Case:
    """A case with more than inputs.

    Args:
        quick: other inputs with which it is run first, because that is faster; they decide only if the case passes,
            and not where it has a limit, which is about its own inputs.
        seconds, cpu: of wall and of processor time, where a limit is part of the question.
        memory: bytes beyond what torch itself takes, likewise.
    """

    inputs: Mapping[str, Any]
    quick: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    cpu: float = 0.0
    memory: int = 0


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Normal numbers, float32, rounded to multiples of 2^-12: processors differ in the last bit of a random number."""
    return (torch.randn(shape, generator=generator, dtype=torch.float64) * 4096).round().div(4096).float()
