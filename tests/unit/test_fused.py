"""The fast arrangement of a model gives what the model gives."""

from __future__ import annotations

import pytest
import torch

from base_llama import KVCache
from llamalab.errors import UserError
from llamalab.fast.fused import fuse
from llamalab.fast.packing import Int8, float16, orthogonal
from llamalab.single_row import Float32, share_single_rows
from tests.oracle import random_pair

SWITCHES = [
    pytest.param({}, id="grouped-query"),
    pytest.param(dict(n_heads=4, n_kv_heads=4), id="multi-head"),
    pytest.param(dict(norm="layernorm"), id="layernorm"),
    pytest.param(dict(tied=False), id="untied"),
    pytest.param(dict(theta=500_000.0), id="large-theta"),
]


def pair(precision: str = "float32", **switches):
    """A model and the same model fused."""
    _, model = random_pair(**switches)
    _, other = random_pair(**switches)
    return model.float(), fuse(other.float(), precision)


@pytest.mark.parametrize("switches", SWITCHES)
@torch.no_grad()
def test_float32_logits_are_equal(switches):
    model, fused = pair(**switches)
    tokens = torch.randint(97, (3, 17))
    torch.testing.assert_close(fused(tokens, targets=tokens)[0], model(tokens, targets=tokens)[0], atol=2e-5, rtol=0)


@torch.no_grad()
def test_padding_and_cache_are_respected():
    model, fused = pair()
    tokens = torch.randint(97, (2, 14))
    mask = torch.ones_like(tokens)
    mask[0, :5] = 0
    expected, _ = model(tokens, targets=tokens, attention_mask=mask)
    cache = KVCache(fused.config, 2, 14, torch.float32, torch.device("cpu"))
    for start, end in [(0, 6), (6, 13), (13, 14)]:  # a prompt, several tokens after it, one token
        step, _ = fused(tokens[:, start:end], attention_mask=mask[:, :end], cache=cache)
        torch.testing.assert_close(step[:, 0], expected[:, end - 1], atol=2e-5, rtol=0)


@torch.no_grad()
def test_several_tokens_after_a_cache_see_only_what_is_before_them():
    model, fused = pair()
    tokens = torch.randint(97, (2, 14))
    expected, _ = model(tokens, targets=tokens)
    cache = KVCache(fused.config, 2, 14, torch.float32, torch.device("cpu"))
    fused(tokens[:, :6], cache=cache)
    found, _ = fused(tokens[:, 6:], targets=tokens[:, 6:], cache=cache)
    torch.testing.assert_close(found, expected[:, 6:], atol=2e-5, rtol=0)


@torch.no_grad()
def test_greedy_text_is_equal_also_past_the_window():
    model, fused = pair()
    prompt = torch.randint(97, (2, 9))
    assert torch.equal(fused.generate(prompt, 70, temperature=0.0), model.generate(prompt, 70, temperature=0.0))


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.02), ("int8", 0.1)])
@torch.no_grad()
def test_packed_weights_stay_close(precision, tolerance):
    model, fused = pair(precision)
    tokens = torch.randint(97, (4, 60))
    expected, found = model(tokens, targets=tokens)[0], fused(tokens, targets=tokens)[0]
    assert (found - expected).square().mean().sqrt() < tolerance * expected.std()


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("bfloat16", 1e-6), ("int8", 0.05)])
@torch.no_grad()
def test_one_row_and_many_rows_agree(precision, tolerance):
    _, fused = pair(precision)
    tokens = torch.randint(97, (5, 1))
    together, _ = fused(tokens)
    alone = torch.cat([fused(row[None])[0] for row in tokens])
    assert (together - alone).square().mean().sqrt() < tolerance * together.std()


def test_int8_refuses_layernorm_with_a_remedy():
    with pytest.raises(UserError, match="float16"):
        pair("int8", norm="layernorm")


@torch.no_grad()
def test_sharing_single_rows_keeps_the_code_of_the_model():
    _, model = random_pair()
    _, shared = random_pair()
    model, shared = model.float(), share_single_rows(shared.float())
    tokens = torch.randint(97, (1, 9))
    assert type(shared.layers[0]) is type(model.layers[0])
    assert isinstance(shared.output, Float32)
    torch.testing.assert_close(shared(tokens)[0], model(tokens)[0], atol=1e-5, rtol=0)
    assert torch.equal(shared.generate(tokens, 20, temperature=0.0), model.generate(tokens, 20, temperature=0.0))


@torch.no_grad()
def test_a_projection_with_a_bias_keeps_it():
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 2, bias=False))
    x = torch.randn(1, 4)
    expected = model(x)
    torch.testing.assert_close(share_single_rows(model)(x), expected)


def test_outliers_are_what_int8_needs_the_rotation_for():
    torch.manual_seed(0)
    x, weight = torch.randn(1, 512), torch.randn(64, 512)
    x[0, 5] = 100.0
    rotation = orthogonal(512)
    expected = x @ weight.T
    plain = (Int8(weight)(x) - expected).abs().mean()
    rotated = (Int8(weight @ rotation)(x @ rotation) - expected).abs().mean()
    assert rotated < 0.75 * plain


def test_weights_beyond_float16_stay_float32():
    weight = torch.full((4, 8), 1e6)
    torch.testing.assert_close(float16(weight)(torch.ones(1, 8)), torch.full((1, 4), 8e6))
