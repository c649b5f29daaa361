"""Kinds of answers: tensors, draws from a distribution, plain values. Each compares and says the difference.

Which kind an output is, the expected value says: a NumPy array, ``Draws``, or anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autograder.answers import draws, plain, tensors
from autograder.answers.draws import Draws

__all__ = ["ATOL", "RTOL", "Draws", "difference"]

ATOL, RTOL = 1e-5, 1e-4  # float32: eight valid implementations of one formula agree to 6e-7
Axes = Mapping[str, tuple[str, ...] | str]


def difference(
    found: Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]],
    axes: Axes,
    atol: float = ATOL,
    rtol: float = RTOL,
) -> str | None:
    """What is wrong with an answer, or None.

    Args:
        found: arrays and plain values, by name.
        variants: the answers that are right. The nearest one is what the words compare with.
        axes: what the axes of each array are called, or the items of each list.
        atol, rtol: an element is right within ``atol + rtol * |expected|``.
    """
    nearest = min(variants.values(), key=lambda expected: _distance(found, expected, atol, rtol))
    problems = {name: _problem(name, found, nearest[name], axes.get(name, ()), atol, rtol) for name in nearest}
    wrong = [problem for problem in problems.values() if problem is not None]
    if not wrong:
        return None
    right = [name for name, problem in problems.items() if problem is None]
    (first, expected), *others = nearest.items()
    if not others and isinstance(expected, (np.ndarray, Draws)):  # the only one needs no name
        return wrong[0].removeprefix(f"{first}: ")
    if right:
        return f"{wrong[0]}\n({' and '.join(right)}: right)"
    return wrong[0]


def _distance(found: Mapping[str, Any], expected: Mapping[str, Any], atol: float, rtol: float) -> float:
    return sum(_share(found.get(name), right, atol, rtol) for name, right in expected.items())


def _share(value: Any, expected: Any, atol: float, rtol: float) -> float:
    if isinstance(expected, Draws):
        off = draws.problem(value, expected)
        return off[0] if off else 0.0
    if isinstance(expected, np.ndarray):
        return tensors.share_wrong(value, expected, atol, rtol)
    return float(plain.problem(value, expected, "", atol, rtol) is not None)


def _problem(
    name: str, found: Mapping[str, Any], expected: Any, axes: tuple[str, ...] | str, atol: float, rtol: float
) -> str | None:
    if name not in found:
        return f"{name}: nothing came back"
    value = found[name]
    if isinstance(expected, Draws):
        off = draws.problem(value, expected)
        words = off and off[1]
    elif isinstance(expected, np.ndarray):
        words = tensors.problem(value, expected, tuple(axes), atol, rtol)
    else:
        words = plain.problem(value, expected, axes if isinstance(axes, str) else "", atol, rtol)
    return f"{name}: {words}" if words else None
