"""Tensors: what makes two incomparable (type, shape, dtype, NaN), or where and by how much they differ."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from autograder.answers.plain import shown
from autograder.worker.protocol import dtype_name


def share_wrong(value: Any, expected: np.ndarray, atol: float, rtol: float) -> float:
    """Which part of the elements is wrong, from 0 to 1; 1 for what cannot be compared."""
    if not isinstance(value, np.ndarray) or value.shape != expected.shape or value.dtype.names is not None:
        return 1.0
    return float(_wrong(value, expected, atol, rtol).mean()) if expected.size else 0.0


def problem(value: Any, expected: np.ndarray, axes: tuple[str, ...], atol: float, rtol: float) -> str | None:
    """What is wrong with a tensor, or None."""
    if words := unlike(value, expected, axes):
        return words
    if not np.isfinite(value[np.isfinite(expected)]).all():
        return _not_finite(value, expected, axes)
    wrong = _wrong(value, expected, atol, rtol)
    return _values_problem(value, expected, wrong, axes) if wrong.any() else None


def unlike(value: Any, expected: np.ndarray, axes: tuple[str, ...] = ()) -> str | None:
    """Why a value is no array of the expected one's shape and dtype, or None."""
    if not isinstance(value, np.ndarray):
        return f"{shown(value)} came back; a tensor of shape {_shape(expected)} was expected"
    if value.shape != expected.shape:
        return _shape_problem(value, expected, axes)
    if value.dtype != expected.dtype:
        return f"is {dtype_name(value)}; {dtype_name(expected)} was expected"
    return None


def _wrong(value: np.ndarray, expected: np.ndarray, atol: float, rtol: float) -> np.ndarray:
    """Which elements are out of tolerance; NaN is."""
    return ~np.isclose(value, expected, atol=atol, rtol=rtol)


def _shape(array: np.ndarray) -> str:
    return "(" + ", ".join(map(str, array.shape)) + ("," if array.ndim == 1 else "") + ")"


def _shape_problem(value: np.ndarray, expected: np.ndarray, axes: tuple[str, ...]) -> str:
    words = f"shape {_shape(value)}; {_shape(expected)} was expected"
    if axes:
        words += f": ({', '.join(axes)})"
    if value.ndim == expected.ndim == len(axes):
        for first, second in itertools.combinations(range(len(axes)), 2):
            swapped = list(value.shape)
            swapped[first], swapped[second] = swapped[second], swapped[first]
            if tuple(swapped) == expected.shape:
                return f"{words}; {axes[first]} and {axes[second]} are swapped"
    return words


def _not_finite(value: np.ndarray, expected: np.ndarray, axes: tuple[str, ...]) -> str:
    bad = ~np.isfinite(value) & np.isfinite(expected)
    kind = "NaN" if np.isnan(value[bad]).any() else "infinite"
    first = _place(np.argwhere(bad)[0], axes)
    return f"{_amount(bad)} {kind}, first at {first}" if first else f"is {kind}"


def _amount(wrong: np.ndarray) -> str:
    if wrong.all():
        return "every value is"
    count = int(wrong.sum())
    return f"{count} of {wrong.size} values {'is' if count == 1 else 'are'}"


def _values_problem(value: np.ndarray, expected: np.ndarray, wrong: np.ndarray, axes: tuple[str, ...]) -> str:
    places = [words for axis in range(wrong.ndim) if (words := _along(wrong, axis, axes))]
    headline = f"wrong {', '.join(places)}" if places else f"{_amount(wrong)} wrong"
    for words in (_relation(value, expected), _growth(value, expected, axes)):
        headline += f"; {words}" if words else ""
    first = np.argwhere(wrong)[0]
    found, right = value[tuple(first)], expected[tuple(first)]
    at = f"first at {_place(first, axes)}: " if first.size else ""
    largest = np.abs(value.astype(np.float64) - expected.astype(np.float64)).max() if value.dtype != bool else 1
    return f"{headline}\n{at}{_number(found)} where {_number(right)} is right; largest error {_number(largest)}"


def _along(wrong: np.ndarray, axis: int, axes: tuple[str, ...]) -> str:
    """Which indices of one axis have an error, in words; nothing if all have."""
    size = wrong.shape[axis]
    others = tuple(i for i in range(wrong.ndim) if i != axis)
    bad = np.flatnonzero(wrong.any(axis=others))
    if len(bad) == size:
        return ""
    name = axes[axis] if axis < len(axes) else f"axis {axis}"
    if len(bad) == 1:
        return f"at {name} {bad[0]} only"
    if (np.diff(bad) == 1).all():
        if bad[-1] == size - 1:
            return f"from {name} {bad[0]} on"
        return f"at {name} {bad[0]} to {bad[-1]}"
    if size > 3 and (bad % 2 == bad[0] % 2).all() and len(bad) >= size // 2:
        return f"at every {'odd' if bad[0] % 2 else 'even'} {name}"
    return f"at {name} {', '.join(map(str, bad[:6]))}{' ...' if len(bad) > 6 else ''}"


def _relation(value: np.ndarray, expected: np.ndarray) -> str:
    """A simple relation between all found and all expected values, if there is one."""
    if value.dtype.kind != "f" or value.size < 4:
        return ""
    found, right = value.astype(np.float64).ravel(), expected.astype(np.float64).ravel()
    if not np.any(found):
        return "all zero"
    scale = found @ right / max(right @ right, 1e-300)
    if np.allclose(found, scale * right, rtol=1e-3, atol=1e-5) and abs(scale) > 1e-6:
        return "right but for the sign" if abs(scale + 1) < 1e-3 else f"right but for a factor of {_number(scale)}"
    return ""


def _growth(value: np.ndarray, expected: np.ndarray, axes: tuple[str, ...]) -> str:
    """The axis along which the error grows, by and large: its rank correlation with the index is high."""
    if value.dtype.kind != "f":
        return ""
    error = np.abs(value.astype(np.float64) - expected.astype(np.float64))
    for axis in range(min(error.ndim, len(axes))):
        others = tuple(i for i in range(error.ndim) if i != axis)
        profile = np.sqrt((error**2).mean(axis=others))
        if len(profile) < 4:
            continue
        ranks = profile.argsort().argsort()
        rising = np.corrcoef(ranks, np.arange(len(profile)))[0, 1]
        if rising > 0.85 and profile[-1] > 1.5 * max(profile[0], profile[1]):
            return f"error grows with {axes[axis]}"
    return ""


def _place(index: np.ndarray, axes: tuple[str, ...]) -> str:
    names = [axes[i] if i < len(axes) else f"axis {i}" for i in range(len(index))]
    return ", ".join(f"{name} {i}" for name, i in zip(names, index, strict=True))


def _number(value: Any) -> str:
    return str(value) if isinstance(value, (bool, np.bool_)) else f"{value:.4g}"
