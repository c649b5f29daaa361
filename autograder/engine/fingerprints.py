"""Fingerprints: what known mistakes answer on the stored inputs, so that a wrong answer can be recognised."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from autograder.answers import digests
from autograder.answers.digests import NEAR, Digest
from autograder.engine.claims import Answer, Fault


@dataclass(frozen=True)
class Fingerprint:
    """One mistake.

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


def digest(result: Answer | Fault, drawn: Collection[str] = ()) -> Digest:
    """The digest of a call's result.

    Args:
        drawn: the outputs that are tables of draws.
    """
    if isinstance(result, Fault):
        return digests.of_fault(result.kind, result.message)
    return digests.of_outputs(result.outputs, drawn)


def nearest(
    observed: Mapping[str, Observed], expected: Mapping[str, list[Digest]], fingerprints: tuple[Fingerprint, ...]
) -> Fingerprint | None:
    """The mistake that explains a submission's answers, or None.

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
            case: digests.distance(seen.digest, candidate.digests[case], expected.get(case, []))
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
