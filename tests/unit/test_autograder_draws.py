"""Draws against probabilities, and against other draws."""

import numpy as np
import pytest

from autograder.answers import difference, digests, draws
from autograder.answers.draws import Draws
from autograder.engine import fingerprints
from autograder.engine.fingerprints import Fingerprint, Observed

P = np.array([[0.5, 0.3, 0.15, 0.05, 0.0]])


def drawn(probabilities: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.stack([generator.multinomial(count, row) for row in probabilities])


def said(counts: np.ndarray, accepted: list[np.ndarray]) -> str | None:
    """What is said of draws where any of these distributions is right."""
    variants = {str(n): {"counts": Draws(p, int(counts.sum()))} for n, p in enumerate(accepted)}
    return difference({"counts": counts}, variants, {})


@pytest.mark.parametrize("seed", range(20))
def test_draws_from_the_distribution_fit_it(seed):
    assert said(drawn(P, 600, seed), [P]) is None


def test_draws_may_fit_any_of_the_accepted_distributions():
    uniform = np.full((1, 5), 0.2)
    assert said(drawn(uniform, 600), [P, uniform]) is None


def test_draws_from_another_distribution_are_told_by_the_outcome_that_is_furthest_off():
    words = said(np.array([[300, 90, 150, 60, 0]]), [P])
    assert words == "the 2nd most likely token is drawn in 15% of 600 draws; 30% is right"


def test_one_draw_of_an_impossible_outcome_is_enough():
    words = said(np.array([[300, 180, 90, 29, 1]]), [P])
    assert words == "the 5th most likely token is drawn in 0.167% of 600 draws; it should never be"


def test_every_group_counts():
    right = drawn(P, 600)
    wrong = np.concatenate([right, right[:, ::-1]])
    assert said(wrong, [np.concatenate([P, P])]) is not None


def test_false_alarms_are_as_rare_as_the_limit_says(monkeypatch):
    """At a limit that can be simulated; rare outcomes are pooled, or there would be many more."""
    monkeypatch.setattr(draws, "FALSE_ALARM", 0.01)
    skewed = np.array([[0.9, 0.06, 0.02, 0.015, 0.004, 0.001]])
    alarms = sum(said(drawn(skewed, 640, seed), [skewed]) is not None for seed in range(2000))
    assert alarms <= 40


def test_draws_from_one_distribution_are_alike_whatever_their_number():
    assert draws.likeness(drawn(P, 600, 1), drawn(P, 4000, 2)) < 1


def test_draws_from_two_distributions_are_not_alike():
    assert draws.likeness(drawn(P, 600, 1), drawn(P[:, ::-1], 600, 2)) > 1


def test_a_mistake_is_recognised_by_draws_of_its_distribution():
    def digest(probabilities, seed):
        return digests.of_outputs({"counts": drawn(probabilities, 600, seed)}, drawn=("counts",))

    flat, steep = np.full((1, 5), 0.2), np.array([[0.8, 0.1, 0.05, 0.03, 0.02]])
    known = tuple(
        Fingerprint(name, name, "", {"case": digest(probabilities, seed=1)})
        for name, probabilities in {"flat": flat, "steep": steep}.items()
    )
    found = fingerprints.nearest({"case": Observed(digest(steep, seed=2), passed=False)}, {}, known)
    assert found is not None and found.name == "steep"
