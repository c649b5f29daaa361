"""Attention: is the output softmax(Q K^T / sqrt(D)) V, and are weights dropped while training?"""

import numpy as np
import pytest

pytestmark = pytest.mark.component("attention")
ACCEPTED = {"either": ("causal", "full"), True: ("causal",), False: ("full",)}


@pytest.mark.weight(3)
def test_scaled_dot_products(judge):
    """Is it softmax(Q K^T / sqrt(D)) V in every head (Vaswani et al. 2017, equation 1)?"""
    judge.equal("plain", accept=ACCEPTED[judge.options["causal"]])


@pytest.mark.weight(2)
def test_the_scale_is_the_root_of_the_head_dimension(judge):
    """Does the scale follow the number of channels a head has, and does a batch of one work?"""
    judge.equal("wide", accept=ACCEPTED[judge.options["causal"]])


@pytest.mark.weight(2)
def test_equal_scores_give_the_mean(judge):
    """When all scores are the same, is the output the mean of the values that may be looked at?"""
    judge.equal("uniform", accept=ACCEPTED[judge.options["causal"]])


def test_large_scores(judge):
    """Does the softmax survive scores over 100, whose exponential is infinite in float32?"""
    judge.equal("large_scores", accept=ACCEPTED[judge.options["causal"]], atol=1e-4)


@pytest.mark.weight(2)
def test_weights_are_dropped_while_training(judge):
    """Does attn_dropout act on the weights, after the softmax and before the values, in training only?

    It compares the submission with itself, so that this mark does not depend on the others.
    """
    like = judge.expected("dropout")["full"]["evaluating"]
    names = ("undropped", "evaluating", "training")
    undropped, evaluating, training = (judge.array("dropout", name, like) for name in names)
    judge.require(
        np.isfinite([undropped, evaluating, training]).all(),
        "some values are NaN or infinite, so that dropout cannot be seen",
        "dropout",
    )
    judge.require(
        np.allclose(evaluating, undropped, atol=1e-5),
        "dropout acts in evaluation too; use self.attn_dropout, which eval() turns off",
        "dropout",
    )
    judge.require(
        not np.allclose(training, evaluating, atol=1e-5),
        "there is no dropout in training; apply self.attn_dropout to the weights",
        "dropout",
    )
    inputs = judge.inputs("dropout")
    back = np.linalg.pinv(inputs["value"].astype(np.float64))  # output = weights @ value
    weights, trained = evaluating @ back, training @ back
    dropped = np.isclose(trained, 0, atol=1e-3)
    kept = np.isclose(trained, weights / (1 - inputs["dropout"]), atol=1e-3, rtol=1e-3)
    judge.require(
        (dropped | kept).all() and (dropped & ~kept).any() and (kept & ~dropped).any(),
        f"in training, weights are neither 0 nor 1/{1 - inputs['dropout']:g} of what they are in evaluation; "
        "apply self.attn_dropout to the weights, after the softmax and before the values",
        "dropout",
    )
