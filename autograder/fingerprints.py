"""Fingerprints: what known misconceptions answer, kept small, so that a wrong answer can be recognised.

A digest is a signature (shapes and types, or the fault) and the values at a few fixed places of all outputs. An output
named ``counts`` (groups, outcomes) is a table of draws: it is kept whole, stands alone, and is compared as one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograder import distributions
from autograder.protocol import dtype_name
from autograder.session import Answer, Fault

PLACES = 48
DRAWS = "counts"
UNTELLING = (
    "timeout:",
    "not_run:",
    "crashed:",
    "memory:",
    "import_error:",
    "todo:",
)  # faults that very different code shares
NEAR = 0.05  # of the way from the right answer to the misconception's


@dataclass(frozen=True)
class Digest:
    """What an answer looks like: ``values`` are float32, at most ``PLACES`` of them."""

    signature: str
    values: np.ndarray


@dataclass(frozen=True)
class Fingerprint:
    """One misconception.

    Args:
        name: its name in the bank.
        says: what the code does, to follow "matches:".
        advice: one sentence on what to check, with a source.
        digests: by case.
        made_from: a hash of the bank's entry, by which one that was changed since is noticed.
    """

    name: str
    says: str
    advice: str
    digests: Mapping[str, Digest] = field(default_factory=dict)
    made_from: str = ""


@dataclass(frozen=True)
class Observed:
    """What a submission did on one case."""

    digest: Digest
    passed: bool


def digest(result: Answer | Fault) -> Digest:
    """The digest of a call's result."""
    if isinstance(result, Fault):
        first_line = result.message.partition("\n")[0][:200]
        return Digest(f"{result.kind}: {first_line}", np.zeros(0, np.float32))
    return digest_outputs(result.outputs)


def digest_outputs(outputs: Mapping[str, Any]) -> Digest:
    """The digest of named arrays and plain JSON values."""
    if isinstance(counts := outputs.get(DRAWS), np.ndarray) and counts.ndim == 2:
        return Digest(f"{DRAWS}:{dtype_name(counts)}", counts.astype(np.float32))
    parts, flat = [], [np.zeros(0, np.float32)]
    for name, value in sorted(outputs.items()):
        if not isinstance(value, np.ndarray):
            parts.append(f"{name}={json.dumps(value, sort_keys=True)[:200]}")
            continue
        parts.append(f"{name}:{dtype_name(value)}{list(value.shape)}")
        if value.dtype.names is None:  # bfloat16 has no values here; its name in the signature is enough
            with np.errstate(over="ignore"):
                flat.append(np.real(value).astype(np.float32).ravel())
    values = np.concatenate(flat)
    if len(values) > PLACES:
        values = values[np.sort(np.random.default_rng(0).choice(len(values), PLACES, replace=False))]
    return Digest(" ".join(parts), values)


def nearest(
    observed: Mapping[str, Observed], expected: Mapping[str, list[Digest]], fingerprints: tuple[Fingerprint, ...]
) -> Fingerprint | None:
    """The misconception that explains a submission's answers, or None.

    It must agree with more than half of the failed cases; the one that contradicts the fewest cases wins, and among
    those the nearest.

    Args:
        observed: by case.
        expected: digests of the accepted answers, by case.
    """
    failed = [case for case, seen in observed.items() if not seen.passed]
    best, best_score = None, (float("inf"), float("inf"))
    for candidate in fingerprints:
        distances = {
            case: _distance(seen.digest, candidate.digests[case], expected.get(case, []))
            for case, seen in observed.items()
            if case in candidate.digests
        }
        agreeing = [case for case in failed if distances.get(case, 1.0) < NEAR]
        if 2 * len(agreeing) <= len(failed):
            continue
        contradicted = sum(distance >= NEAR for distance in distances.values())
        score = (contradicted, sum(distances[case] for case in agreeing) / len(agreeing))
        if score < best_score:
            best, best_score = candidate, score
    return best


def _distance(seen: Digest, wrong: Digest, right: list[Digest]) -> float:
    """How far an answer is from a misconception's: 0 the same, 1 as far as the right answer is."""
    if seen.signature != wrong.signature or seen.signature.startswith(UNTELLING):
        return float("inf")
    if seen.signature.startswith(f"{DRAWS}:"):
        return NEAR * distributions.likeness(seen.values, wrong.values)
    size = _norm(wrong.values)
    off = _apart(seen.values, wrong.values)
    apart = [_apart(wrong.values, other.values) for other in right if other.signature == wrong.signature]
    scale = min((distance for distance in apart if np.isfinite(distance)), default=size)
    if scale <= 1e-4 * size + 1e-6:  # the misconception does not show in this case: right is what it answers
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
