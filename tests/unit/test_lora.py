"""LoRA: against peft, and its own promises: a fresh adapter changes nothing, merging changes nothing."""

from __future__ import annotations

from types import SimpleNamespace

import peft
import pytest
import torch
from torch import nn

from config import LlamaConfig
from llama import Llama
from lora import (
    LoRALayer,
    apply_lora,
    count_lora_parameters,
    get_lora_optimizer_params,
    lora_layers,
    merge_lora_weights,
    unmerge_lora_weights,
)


def model() -> Llama:
    torch.manual_seed(0)
    return Llama(LlamaConfig(vocab_size=50, dim=24, n_layers=2, n_heads=6, n_kv_heads=2, max_seq_len=20)).eval()


def trained(**settings) -> Llama:
    """A model whose adapters are not zero any more."""
    adapted = apply_lora(model(), **settings)
    for _, layer in lora_layers(adapted):
        nn.init.normal_(layer.lora_B, std=0.1)
    return adapted


TOKENS = torch.arange(8).view(2, 4)


@torch.no_grad()
def test_a_fresh_adapter_changes_nothing():
    assert torch.equal(apply_lora(model())(TOKENS)[0], model()(TOKENS)[0])


@torch.no_grad()
@pytest.mark.parametrize(("rank", "alpha"), [(4, 1.0), (2, 16.0)])
def test_equals_peft(rank, alpha):
    ours = trained(rank=rank, alpha=alpha)
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=["compute_query", "compute_value"])
    theirs = peft.inject_adapter_in_model(config, model())
    for name, layer in lora_layers(ours):
        if name.endswith(("compute_query", "compute_value")):
            theirs.get_submodule(name).lora_A["default"].weight.copy_(layer.lora_A)
            theirs.get_submodule(name).lora_B["default"].weight.copy_(layer.lora_B)
        else:
            layer.lora_B.zero_()
    torch.testing.assert_close(ours(TOKENS)[0], theirs(TOKENS)[0], atol=1e-6, rtol=0)
    assert not torch.allclose(ours(TOKENS)[0], model()(TOKENS)[0], atol=1e-3)


@torch.no_grad()
def test_merged_equals_unmerged_and_merging_can_be_undone_exactly():
    adapted = trained(rank=3, alpha=8.0)
    before, weights = adapted(TOKENS)[0], [p.clone() for p in adapted.parameters()]
    merge_lora_weights(adapted)
    torch.testing.assert_close(adapted(TOKENS)[0], before, atol=1e-5, rtol=0)
    merge_lora_weights(adapted)  # twice is once
    torch.testing.assert_close(adapted(TOKENS)[0], before, atol=1e-5, rtol=0)
    unmerge_lora_weights(adapted)
    assert all(torch.equal(a, b) for a, b in zip(adapted.parameters(), weights, strict=True))


def test_only_adapters_and_the_head_learn():
    classifier = nn.Module()
    classifier.llama, classifier.classifier_head = model(), nn.Linear(24, 3)
    apply_lora(classifier, rank=4)
    learning = {name for name, p in classifier.named_parameters() if p.requires_grad}
    assert {name.rsplit(".", 1)[-1] for name in learning} == {"lora_A", "lora_B", "weight", "bias"}
    assert all("lora_" in name or name.startswith("classifier_head.") for name in learning)
    assert sum(p.numel() for p in get_lora_optimizer_params(classifier)) == count_lora_parameters(classifier).trainable


def test_parameters_are_counted():
    count = count_lora_parameters(apply_lora(model(), rank=4))
    per_layer = 4 * (24 + 24) + 2 * 4 * (24 + 8) + 4 * (24 + 24)  # query, key and value, output
    assert count.lora == count.trainable == 2 * per_layer
    assert count.total == sum(p.numel() for p in model().parameters()) + 2 * per_layer


def test_both_factors_learn_after_the_first_step():
    layer = LoRALayer(nn.Linear(5, 7), rank=2)
    x = torch.randn(3, 5)
    layer(x).square().sum().backward()
    assert layer.lora_B.grad.abs().sum() > 0 and layer.lora_A.grad.abs().sum() == 0
    assert layer.original_layer.weight.grad is None
    with torch.no_grad():
        layer.lora_B -= 0.1 * layer.lora_B.grad
    layer(x).square().sum().backward()
    assert layer.lora_A.grad.abs().sum() > 0


def test_any_projection_can_be_chosen():
    adapted = apply_lora(model(), targets=("w1", "compute_query"))
    assert {name.split(".")[-1] for name, _ in lora_layers(adapted)} == {"w1", "compute_query"}


def test_a_name_that_does_not_exist_and_a_second_application_are_errors():
    with pytest.raises(ValueError, match="q_proj"):
        apply_lora(model(), targets=("q_proj",))
    with pytest.raises(ValueError, match="already"):
        apply_lora(apply_lora(model()))
    with pytest.raises(ValueError, match="rank"):
        LoRALayer(nn.Linear(2, 2), rank=0)


def test_names_and_shapes_are_the_courses():
    layer = LoRALayer(nn.Linear(5, 7), rank=2, alpha=6.0)
    found = SimpleNamespace(A=tuple(layer.lora_A.shape), B=tuple(layer.lora_B.shape), scaling=layer.scaling)
    assert found == SimpleNamespace(A=(2, 5), B=(7, 2), scaling=3.0)
