"""Plain values as JSON, and back: None, bool, int, float, str, bytes, and lists, tuples and dicts of them.

JSON has no bytes, no tuples, no keys but text, and no infinity. Each of these is an object with one key:

    b"he"      {"bytes": "aGU="}          (1, 2)      {"tuple": [1, 2]}
    {1: "a"}   {"dict": [[1, "a"]]}       inf         {"float": "inf"}
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

DEEPEST = 50  # values in values


class NotPlain(ValueError):
    """A value that is none of these, or JSON that says none."""


def encode(value: Any, depth: int = DEEPEST) -> Any:
    """What ``json`` can write of a plain value. A subclass counts as what it derives from, a NumPy number as a number.

    Raises:
        NotPlain: it is something else; the message names its type.
    """
    if depth < 0:
        raise NotPlain(f"values more than {DEEPEST} deep in each other")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, (list, tuple)):
        items = [encode(item, depth - 1) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {"dict": [[encode(key, depth - 1), encode(item, depth - 1)] for key, item in value.items()]}
    raise NotPlain(type(value).__name__)


def decode(data: Any, depth: int = DEEPEST) -> Any:
    """The value that ``encode`` made ``data`` of.

    Raises:
        NotPlain: it is not what ``encode`` makes: an unknown object, a key that cannot be one or is there twice, or
            values too deep in each other.
    """
    if depth < 0:
        raise NotPlain(f"values more than {DEEPEST} deep in each other")
    if isinstance(data, list):
        return [decode(item, depth - 1) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1:
        raise NotPlain("an object with other than one key")
    ((kind, inner),) = data.items()
    try:
        if kind == "bytes":
            return base64.b64decode(inner, validate=True)
        if kind == "float" and inner in ("inf", "-inf", "nan"):
            return float(inner)
        if kind == "tuple" and isinstance(inner, list):
            return tuple(decode(item, depth - 1) for item in inner)
        if kind == "dict" and isinstance(inner, list):
            pairs = [(decode(key, depth - 1), decode(item, depth - 1)) for key, item in inner]
            found = dict(pairs)
            if len(found) == len(pairs):
                return found
    except NotPlain:
        raise
    except (TypeError, ValueError) as error:
        raise NotPlain(f"a malformed {kind}") from error
    raise NotPlain(f"an unknown or malformed object, {kind[:20]!r}")
