"""How the next token is chosen."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from sampling import epsilon_filter, sample, temperature_softmax, top_k_filter, top_p_filter

PROBS = torch.tensor([[0.5, 0.25, 0.15, 0.07, 0.03]])


def frequencies(**settings) -> torch.Tensor:
    """Counts of 20,000 draws from ``PROBS``, drawn as a batch."""
    logits = PROBS.log().expand(20_000, -1)
    drawn = sample(logits, generator=torch.Generator().manual_seed(0), **settings)
    return torch.bincount(drawn.flatten(), minlength=5)


def assert_drawn_from(counts: torch.Tensor, probs: torch.Tensor) -> None:
    """Chi-square test with a false-alarm rate of one in a million."""
    possible, probs = probs > 0, probs.double()
    assert counts[~possible].sum() == 0
    expected = probs[possible] / probs.sum() * counts.sum()
    assert stats.chisquare(counts[possible].double(), expected).pvalue > 1e-6


def test_temperature_zero_is_the_most_likely_token():
    logits = torch.randn(7, 30)
    assert torch.equal(sample(logits, temperature=0.0), logits.argmax(-1, keepdim=True))


def test_temperature_one_draws_from_the_softmax():
    assert_drawn_from(frequencies(), PROBS[0])


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_divides_the_logits(temperature):
    assert_drawn_from(frequencies(temperature=temperature), PROBS[0] ** (1 / temperature))


def test_temperature_softmax_equals_torch_in_float64():
    logits = torch.randn(3, 11, dtype=torch.float64)
    expected = torch.softmax(logits / 0.7, dim=-1)
    torch.testing.assert_close(temperature_softmax(logits, 0.7).double(), expected, atol=1e-6, rtol=0)


def test_epsilon_cuts_what_is_below_and_renormalises():
    kept = epsilon_filter(PROBS, 0.15)
    torch.testing.assert_close(kept, torch.tensor([[0.5, 0.25, 0.15, 0, 0]]) / 0.9)
    assert_drawn_from(frequencies(epsilon=0.1), torch.tensor([0.5, 0.25, 0.15, 0.0, 0.0]))


def test_the_most_likely_token_survives_when_all_are_below_epsilon():
    assert epsilon_filter(PROBS, 0.9).tolist() == [[1, 0, 0, 0, 0]]


def test_epsilon_applies_after_the_temperature():
    sharp = PROBS[0] ** 2 / (PROBS[0] ** 2).sum()
    assert_drawn_from(frequencies(temperature=0.5, epsilon=0.05), sharp * (sharp >= 0.05))


def test_top_k_keeps_the_k_most_likely():
    torch.testing.assert_close(top_k_filter(PROBS, 2), torch.tensor([[2 / 3, 1 / 3, 0, 0, 0]]))


def test_top_k_beyond_the_vocabulary_keeps_all():
    torch.testing.assert_close(top_k_filter(PROBS, 99), PROBS)


def test_top_p_keeps_the_token_that_crosses():
    torch.testing.assert_close(top_p_filter(PROBS, 0.6), torch.tensor([[2 / 3, 1 / 3, 0, 0, 0]]))
    torch.testing.assert_close(top_p_filter(PROBS, 1.0), PROBS)


def test_top_p_does_not_depend_on_the_order_of_the_vocabulary():
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(top_p_filter(PROBS[:, order], 0.8), top_p_filter(PROBS, 0.8)[:, order])


def test_rows_of_a_batch_are_independent():
    rows = torch.stack([PROBS[0].log(), PROBS[0].flip(0).log()]).repeat(5000, 1)
    drawn = sample(rows, epsilon=0.2, generator=torch.Generator().manual_seed(0)).view(-1, 2)
    assert set(drawn[:, 0].tolist()) == {0, 1} and set(drawn[:, 1].tolist()) == {4, 3}


@pytest.mark.parametrize(
    "settings",
    [dict(temperature=-1.0), dict(temperature=float("nan")), dict(epsilon=1.0), dict(top_k=0), dict(top_p=0.0)],
)
def test_a_setting_out_of_range_is_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        sample(torch.randn(1, 5), **settings)
