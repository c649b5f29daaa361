"""LayerNorm: does every token get mean 0 and variance 1 over its channels?"""

import pytest

pytestmark = pytest.mark.component("layer_norm")


@pytest.mark.weight(2)
def test_one_token(judge):
    """Is a token's mean subtracted, and the rest divided by its standard deviation (Ba et al. 2016, equation 3)?"""
    judge.equal("one_token")


@pytest.mark.weight(3)
def test_each_token_by_itself(judge):
    """Has every token of every sequence a mean and a variance of its own?"""
    judge.equal("tokens")


@pytest.mark.weight(2)
def test_weight_and_bias_are_applied_once(judge):
    """Is the result multiplied by the weight and shifted by the bias, in forward and only there?"""
    judge.equal("weight_and_bias")


@pytest.mark.weight(2)
def test_eps_is_added_inside_the_root(judge):
    """Is eps added to the variance, before the root?"""
    judge.equal("large_eps")


def test_a_constant_token_becomes_zeros(judge):
    """Does eps keep a token whose channels are all the same from becoming NaN?"""
    judge.equal("constant")
