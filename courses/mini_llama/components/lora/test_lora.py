"""LoRA: is (alpha / rank) * B A x added to a linear layer that stays as it is?"""

import pytest

pytestmark = pytest.mark.component("lora")


@pytest.mark.weight(3)
def test_adapter_is_added(judge):
    """With alpha = rank = 1, is it W x + B A x (Hu et al. 2021, equation 3)?"""
    judge.equal("unit")


@pytest.mark.weight(3)
def test_adapter_is_scaled(judge):
    """Is the adapter's part, and only that, multiplied by alpha / rank?"""
    judge.equal("scaled")


def test_square_weight(judge):
    """Are A and B used the right way round, even where the shapes would not tell?"""
    judge.equal("square")


def test_bias_is_kept(judge):
    """Is the linear layer's bias there, once?"""
    judge.equal("bias")


@pytest.mark.weight(2)
def test_a_fresh_adapter_changes_nothing(judge):
    """Is the output W x to begin with?"""
    judge.equal("start", "output")


def test_start(judge):
    """Does A start random and B at zero, so that B gets a gradient?"""
    judge.equal("start", "lora_A", "lora_B")


def test_factors_get_gradients(judge):
    """Are A and B trained?"""
    judge.equal("gradients", "gradient of lora_A", "gradient of lora_B")


@pytest.mark.weight(2)
def test_linear_layer_is_frozen(judge):
    """Does the linear layer's own weight get no gradient?"""
    judge.equal("gradients", "linear layer")
