"""Digests: what an answer looks like, kept small, so that a wrong one can be recognised.

A digest is a signature (shapes, types and plain values, or the fault) and the values at a few fixed places of all
tensors. A table of draws is kept whole, stands alone, and is compared as one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograder.answers import draws
from autograder.worker import plain
from autograder.worker.protocol import dtype_name

PLACES = 48
DRAWN = "draws:"  # how the signature of a table of draws begins
UNTELLING = (  # faults that very different code shares
    "timeout:",
    "not_run:",
    "crashed:",
    "memory:",
    "import_error:",
    "todo:",
)
NEAR = 0.05  # of the way from the right answer to the mistake's


@dataclass(frozen=True)
class Digest:
    """What an answer looks like: ``values`` are float32, at most ``PLACES`` of them."""

    signature: str
    values: np.ndarray


def of_fault(kind: str, message: str) -> Digest:
    """The digest of an answer that did not come."""
    first_line = message.partition("\n")[0][:200]
    return Digest(f"{kind}: {first_line}", np.zeros(0, np.float32))


def of_outputs(outputs: Mapping[str, Any], drawn: Collection[str] = ()) -> Digest:
    """The digest of named arrays and plain values.

    Args:
        drawn: the outputs that are tables of draws.
    """
    for name in drawn:
        if isinstance(counts := outputs.get(name), np.ndarray) and counts.ndim == 2:
            return Digest(f"{DRAWN}{dtype_name(counts)}", counts.astype(np.float32))
    parts, flat = [], [np.zeros(0, np.float32)]
    for name, value in sorted(outputs.items()):
        if not isinstance(value, np.ndarray):
            parts.append(f"{name}={_of_plain(value)}")
            continue
        parts.append(f"{name}:{dtype_name(value)}{list(value.shape)}")
        if value.dtype.names is None:  # bfloat16 has no values here; its name in the signature is enough
            with np.errstate(over="ignore"):
                flat.append(np.real(value).astype(np.float32).ravel())
    values = np.concatenate(flat)
    if len(values) > PLACES:
        values = values[np.sort(np.random.default_rng(0).choice(len(values), PLACES, replace=False))]
    return Digest(" ".join(parts), values)


def _of_plain(value: Any) -> str:
    """The value, or a hash where it is long. The order of a mapping's keys makes no difference."""
    text = json.dumps(_sorted(plain.encode(value)), sort_keys=True)
    return text if len(text) <= 64 else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _sorted(data: Any) -> Any:
    if isinstance(data, list):
        return [_sorted(item) for item in data]
    if isinstance(data, dict):
        ((kind, inner),) = data.items()
        return {kind: sorted(map(_sorted, inner), key=repr) if kind == "dict" else _sorted(inner)}
    return data


def distance(seen: Digest, wrong: Digest, right: list[Digest]) -> float:
    """How far an answer is from a mistake's: 0 the same, 1 as far as the right answer is."""
    if seen.signature != wrong.signature or seen.signature.startswith(UNTELLING):
        return float("inf")
    if seen.signature.startswith(DRAWN):
        return NEAR * draws.likeness(seen.values, wrong.values)
    size = _norm(wrong.values)
    off = _apart(seen.values, wrong.values)
    apart = [_apart(wrong.values, other.values) for other in right if other.signature == wrong.signature]
    scale = min((distance for distance in apart if np.isfinite(distance)), default=size)
    if scale <= 1e-4 * size + 1e-6:  # the mistake does not show in this case: right is what it answers
        return 0.0 if off <= 1e-3 * size + 1e-6 else float("inf")
    return off / scale


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    """How far two answers are from each other; infinite if one is NaN or infinite where the other is not."""
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return float("inf")
    return _norm(np.where(np.isfinite(a), a, 0) - np.where(np.isfinite(b), b, 0))


def _norm(values: np.ndarray) -> float:
    """Euclidean length of what is finite."""
    return float(np.linalg.norm(values[np.isfinite(values)].astype(np.float64)))
