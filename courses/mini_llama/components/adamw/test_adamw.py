"""AdamW: does every parameter move as Adam says, and shrink as decoupled weight decay says?"""

import pytest

pytestmark = pytest.mark.component("adamw")


def test_one_step(judge):
    """Does one step without decay equal Adam's (Kingma & Ba 2014, algorithm 1)?"""
    judge.equal("one_step")


@pytest.mark.weight(2)
def test_several_steps(judge):
    """Are the running means kept from step to step, and is the step counted?"""
    judge.equal("steps")


def test_bias_correction_can_be_off(judge):
    """Does correct_bias=False leave the bias correction out?"""
    judge.equal("uncorrected")


def test_eps_is_added_outside_the_root(judge):
    """Is eps added to the root of v, not to v?"""
    judge.equal("large_eps")


@pytest.mark.weight(2)
def test_weight_decay_is_decoupled(judge):
    """Does decay take lr * weight_decay of the parameter away, apart from the gradient and its running means?"""
    judge.equal("decay")


def test_weight_decay_uses_the_plain_learning_rate(judge):
    """Is the decay the same without bias correction?"""
    judge.equal("decay_uncorrected")


def test_parameters_do_not_share_state(judge):
    """Has every parameter running means and a step count of its own?"""
    judge.equal("parameters")


@pytest.mark.weight(2)
def test_groups_have_their_own_settings(judge):
    """Do all groups move, each with its own learning rate, betas, eps and decay?"""
    judge.equal("groups")


def test_a_parameter_without_a_gradient_stays(judge):
    """Is a parameter without a gradient left alone, and its step not counted?"""
    judge.equal("absent")


def test_clipping(judge):
    """If there is a max_grad_norm, are the gradients of a group scaled down together?"""
    judge.equal("clipped")
