"""The whole model: do the parts together compute what another implementation of the same model does?"""

import pytest

pytestmark = pytest.mark.component("whole")
ACCEPTED = {"either": ("causal", "full"), True: ("causal",), False: ("full",)}


def test_the_next_token(judge):
    """Are the last position's logits, and the hidden states, those of the same model in transformers?"""
    judge.equal(judge.options["norm"], "logits", "hidden states", accept=ACCEPTED[judge.options["causal"]])


def test_every_position_with_targets(judge):
    """Are there logits for every position when targets are given?"""
    judge.equal(judge.options["norm"], "logits with targets", accept=ACCEPTED[judge.options["causal"]])
