"""Draws and distributions: do numbers of draws fit given probabilities, or other draws? Chi-square tests.

A table of draws is an array (groups, outcomes) of counts; each group has a distribution of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autograder.answers import tensors

FALSE_ALARM = 1e-9  # nominal; so far out chi-square is approximate, and about ten times that is real
FALSE_MISMATCH = 1e-5  # of saying that draws do not look like a mistake's though they do
SMALLEST_EXPECTED = 30  # draws; rarer outcomes are counted as one, or chi-square would not be their distribution


@dataclass(frozen=True)
class Draws:
    """What an oracle expects of random answers: (groups, outcomes) ``probabilities``, of so many ``draws`` in all."""

    probabilities: np.ndarray
    draws: int


def problem(counts: Any, expected: Draws) -> tuple[float, str] | None:
    """How far a table of draws is from a distribution, and in what way; None if it fits.

    Args:
        counts: (groups, outcomes), with the outcomes in descending order of their probability.
    """
    if words := tensors.unlike(counts, np.zeros(expected.probabilities.shape, np.int64), ("group", "rank")):
        return np.inf, words
    if counts.min() < 0 or counts.sum() != expected.draws:
        return np.inf, f"these are not {expected.draws} draws"
    return _difference(counts, expected.probabilities)


def _difference(counts: np.ndarray, probabilities: np.ndarray) -> tuple[float, str] | None:
    """How far off the draws are and in what way."""
    expected = counts.sum(axis=1, keepdims=True) * probabilities
    never = np.where(expected == 0, counts, 0)
    statistic, freedom = _against(counts, expected)
    if not never.any() and statistic <= _critical(freedom, FALSE_ALARM):
        return None
    off = np.abs(counts - expected)
    group, outcome = np.unravel_index((never if never.any() else off).argmax(), counts.shape)
    drawn, right, total = counts[group, outcome], probabilities[group, outcome], counts[group].sum()
    if total == 0:
        return np.inf, "nothing was drawn"
    words = f"{_ordinal(outcome)} is drawn in {_percent(drawn / total)} of {total} draws"
    words += f"; {_percent(right)} is right" if right else "; it should never be"
    return off.sum(), words


def likeness(counts: np.ndarray, others: np.ndarray) -> float:
    """How unlike two tables of draws are: below 1 if both may come from the same distributions."""
    if counts.shape != others.shape:
        return float("inf")
    statistic, freedom = 0.0, 0
    for mine, theirs in zip(counts.astype(np.float64), others.astype(np.float64), strict=True):
        seen = mine + theirs > 0
        mine, theirs = mine[seen], theirs[seen]
        if mine.sum() == 0 or theirs.sum() == 0:
            return float("inf")
        balance = np.sqrt(mine.sum() / theirs.sum())
        statistic += ((mine / balance - theirs * balance) ** 2 / (mine + theirs)).sum()
        freedom += len(mine) - 1
    return statistic / max(_critical(freedom, FALSE_MISMATCH), 1.0)


def _against(counts: np.ndarray, expected: np.ndarray) -> tuple[float, int]:
    """Pearson's statistic over all groups, and its degrees of freedom."""
    statistic, freedom = 0.0, 0
    for found, wanted in zip(counts, expected, strict=True):
        found, wanted = _pooled(found[wanted > 0], wanted[wanted > 0])
        statistic += ((found - wanted) ** 2 / wanted).sum()
        freedom += max(len(wanted) - 1, 0)
    return statistic, freedom


def _pooled(found: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One group, its rarest outcomes put together until enough of them are expected."""
    order = wanted.argsort()
    found, wanted = found[order], wanted[order]
    pool = int(np.searchsorted(wanted.cumsum(), SMALLEST_EXPECTED)) + 1
    starts = np.r_[0, pool : len(wanted)] if len(wanted) else np.zeros(0, int)
    return np.add.reduceat(found, starts), np.add.reduceat(wanted, starts)


def _critical(freedom: int, probability: float) -> float:
    """What a chi-square variable exceeds with this probability."""
    from scipy.special import chdtri  # takes as long to import as a component to check

    return float(chdtri(freedom, probability)) if freedom else 0.0


def _ordinal(rank: int) -> str:
    if rank == 0:
        return "the most likely token"
    suffix = {1: "nd", 2: "rd"}.get(rank, "th")
    return f"the {rank + 1}{suffix} most likely token"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
