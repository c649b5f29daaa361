"""Plain values (text, bytes, numbers, lists, tuples, mappings): the first place that differs, in words."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST = 80  # characters of a value that is shown
LARGEST = sys.float_info.max
AROUND = 16  # characters shown on either side of the first difference of two texts


def problem(value: Any, expected: Any, item: str = "", atol: float = 0.0, rtol: float = 0.0) -> str | None:
    """The first place where a value differs from the expected one, or None.

    >>> problem([(b"t", b"h"), (b" t", b"he")], [(b"t", b"h"), (b" t", b"h")], item="merge")
    "merge 1: (b' t', b'he') where (b' t', b'h') is right"

    Args:
        item: what one item of the value is called.
        atol, rtol: a float is right within ``atol + rtol * |expected|``.
    """
    if type(value) is not type(expected) and not (_is_number(value) and _is_number(expected)):
        return f"{_shown_with_type(value)} where {_shown_with_type(expected)} is right"
    if _is_number(expected):
        return None if _close(value, expected, atol, rtol) else f"{shown(value)} where {shown(expected)} is right"
    if isinstance(expected, Mapping):
        return _mapping_problem(value, expected, item, atol, rtol)
    if isinstance(expected, (list, tuple)):
        return _sequence_problem(value, expected, item, atol, rtol)
    if isinstance(expected, (str, bytes)):
        return _text_problem(value, expected)
    return None if value == expected else f"{shown(value)} where {shown(expected)} is right"


def shown(value: Any) -> str:
    """A value as Python writes it, cut."""
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _shown_with_type(value: Any) -> str:
    return f"{shown(value)} ({type(value).__name__})" if isinstance(value, (list, tuple, str, bytes)) else shown(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _close(value: float, expected: float, atol: float, rtol: float) -> bool:
    if isinstance(value, int) and isinstance(expected, int):
        return value == expected
    if math.isnan(expected):
        return value != value
    try:
        return value == expected or abs(value - expected) <= atol + rtol * min(abs(expected), LARGEST)
    except OverflowError:  # a whole number that no float is
        return False


def _sequence_problem(value: Sequence, expected: Sequence, item: str, atol: float, rtol: float) -> str | None:
    name = item or "item"
    for index, (found, right) in enumerate(zip(value, expected, strict=False)):
        if words := problem(found, right, atol=atol, rtol=rtol):
            if _small(found) and _small(right):
                words = f"{shown(found)} where {shown(right)} is right"
            return f"{name} {index}: {words}"
    if len(value) < len(expected):
        return f"{name} {len(value)} is missing: {shown(expected[len(value)])} is right ({_count(value, expected)})"
    if len(value) > len(expected):
        return f"{name} {len(expected)} is too much: {shown(value[len(expected)])} ({_count(value, expected)})"
    return None


def _count(value: Sequence, expected: Sequence) -> str:
    return f"{len(value)} in all where {len(expected)} are right"


def _small(value: Any) -> bool:
    """Whether it can be shown whole."""
    return len(repr(value)) <= LONGEST


def _mapping_problem(value: Mapping, expected: Mapping, item: str, atol: float, rtol: float) -> str | None:
    name = item or "key"
    for key, right in expected.items():
        if key not in value:
            return f"{name} {shown(key)} is missing; {shown(right)} is right ({_count(value, expected)})"
        if words := problem(value[key], right, atol=atol, rtol=rtol):
            return f"{name} {shown(key)}: {words}"
    for key in value:
        if key not in expected:
            return f"{name} {shown(key)} should not be there ({_count(value, expected)})"
    return None


def _text_problem(value: str | bytes, expected: str | bytes) -> str | None:
    if value == expected:
        return None
    if _small(value) and _small(expected):
        return f"{shown(value)} where {shown(expected)} is right"
    length = min(len(value), len(expected))
    at = next((index for index in range(length) if value[index] != expected[index]), length)
    start = max(0, at - AROUND)
    found, right = (text[start : at + AROUND] for text in (value, expected))
    kind = "character" if isinstance(expected, str) else "byte"
    lengths = f"{len(value)} {kind}s in all where {len(expected)} are right"
    return f"from {kind} {at} on: ...{found!r} where ...{right!r} is right ({lengths})"
