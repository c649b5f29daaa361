"""Sentence classifier: are a label's log-probabilities read off the last real token's hidden state?"""

import numpy as np
import pytest

pytestmark = pytest.mark.component("classifier")


@pytest.mark.weight(3)
def test_last_token_decides(judge):
    """For sentences of one length, is it the log-softmax of the head on the last hidden state?"""
    judge.equal("sentences")


@pytest.mark.weight(2)
def test_labels_are_ranked(judge):
    """Are the labels of every row in the right order, from the least to the most probable?"""
    expected = judge.expected("sentences")["last real token"]["log_probabilities"]
    found = judge.array("sentences", "log_probabilities", like=expected)
    wrong = np.flatnonzero((found.argsort(axis=-1) != expected.argsort(axis=-1)).any(axis=-1))
    message = f"the labels are ranked wrongly in row{'s' * (len(wrong) > 1)} {', '.join(map(str, wrong))}"
    judge.require(len(wrong) == 0, message, "sentences")


def test_log_probabilities(judge):
    """Do the answers of every row, one a label, sum to 1 when their logarithm is undone?"""
    expected = judge.expected("sentences")["last real token"]["log_probabilities"]
    found = judge.array("sentences", "log_probabilities", like=expected)
    with np.errstate(over="ignore"):
        sums = np.exp(found.astype(np.float64)).sum(axis=-1)
    message = f"exp of row 0 sums to {sums[0]:.4g}; log-probabilities sum to 1"
    judge.require(bool(np.allclose(sums, 1, atol=1e-4)), message, "sentences")


@pytest.mark.weight(2)
def test_dropout_in_training(judge):
    """In training, is dropout applied to the hidden state, before the head?"""
    judge.equal("training")


@pytest.mark.weight(2)
def test_padding_on_the_right(judge):
    """Is it the last real token that decides, not the padding after it? (Asked of a forward that takes a mask.)"""
    judge.equal("right")


def test_padding_on_the_left(judge):
    """Is it the last real token, wherever the sentence starts? (Asked of a forward that takes a mask.)"""
    judge.equal("left")


def test_one_token(judge):
    """Is there an answer of shape (1, L) for a single token?"""
    judge.equal("one_token")
