"""RMSNorm: is every token divided by the root mean square of its channels?"""

import pytest

pytestmark = pytest.mark.component("rmsnorm")


@pytest.mark.weight(2)
def test_one_token(judge):
    """Is a token divided by sqrt(mean(x^2)) (Zhang & Sennrich 2019, equation 4)?"""
    judge.equal("one_token")


@pytest.mark.weight(3)
def test_each_token_by_itself(judge):
    """Has every token of every sequence a root mean square of its own?"""
    judge.equal("tokens")


@pytest.mark.weight(2)
def test_weight_is_applied_once(judge):
    """Is the result multiplied by the weight, in forward and only there?"""
    judge.equal("weight")


@pytest.mark.weight(2)
def test_eps_is_added_inside_the_root(judge):
    """Is eps added to the mean of squares, before the root?"""
    judge.equal("large_eps")


def test_zeros_stay_zeros(judge):
    """Does eps keep a token of zeros from becoming NaN?"""
    judge.equal("zeros")
