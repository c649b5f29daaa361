"""Transformer layer: does each half normalise its input and add its output to the input as it came?"""

import pytest

pytestmark = pytest.mark.component("layer")


@pytest.mark.weight(3)
def test_attention_half(judge):
    """Is the first sum x + attention(attention_norm(x))?"""
    judge.equal("both", "first sum")


@pytest.mark.weight(3)
def test_feed_forward_half(judge):
    """Is the output h + feed_forward(ffn_norm(h))? As x is 0, h is the attention's output."""
    judge.equal("feed_forward", "output")


@pytest.mark.weight(2)
def test_both_halves(judge):
    """Does the second half normalise the first sum, and add to it?"""
    judge.equal("both", "output")


def test_one_position(judge):
    """Does it work for a single token, as in decoding?"""
    judge.equal("one", "output")


def test_context_reaches_attention(judge):
    """Is the context, which says what is padding, given to the attention?"""
    judge.equal("context", "output")
