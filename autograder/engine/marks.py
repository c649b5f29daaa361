"""Marks in figures: cut rather than rounded, so that only full marks look like it."""

from __future__ import annotations


def cut(value: float, decimals: int = 1) -> float:
    """At most so many decimals, the rest cut off; what floating-point sums lack of a whole digit is given back.

    >>> cut(99.97), cut(0.1 + 0.2)
    (99.9, 0.3)
    """
    scale = 10**decimals
    return int(value * scale + 1e-6) / scale


def figure(value: float) -> str:
    """``82.5`` or ``100``: at most one decimal."""
    return f"{cut(value):g}"


def percent(part: float, whole: float) -> str:
    """A share without decimals; a dash where there is nothing to share."""
    return f"{cut(100 * part / whole, 0):.0f}%" if whole else "–"


def count(number: int, thing: str, things: str = "") -> str:
    """``1 student``, ``2 students``."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"
