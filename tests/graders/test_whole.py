"""The whole model: do the parts together compute what another implementation of the same model does?"""

import pytest

pytestmark = pytest.mark.component("whole")


def model_of(track):
    """The case whose norm the course teaches."""
    return "layernorm" if "layer_norm" in track.components else "rmsnorm"


def test_the_next_token(judge):
    """Are the last position's logits, and the hidden states, those of the same model in transformers?"""
    judge.equal(model_of(judge.track), "logits", "hidden states", accept=judge.track.attention_variants)


def test_every_position_with_targets(judge):
    """Are there logits for every position when targets are given?"""
    judge.equal(model_of(judge.track), "logits with targets", accept=judge.track.attention_variants)
