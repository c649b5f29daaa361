"""The forward pass: against transformers in float64, with every switch."""

from __future__ import annotations

import pytest
import torch

from config import LlamaConfig
from llama import Llama
from tests.oracle import random_pair

SWITCHES = [
    pytest.param(dict(n_heads=6, n_kv_heads=2), id="grouped-query"),
    pytest.param(dict(n_heads=4, n_kv_heads=4), id="multi-head"),
    pytest.param(dict(n_heads=4, n_kv_heads=1), id="multi-query"),
    pytest.param(dict(theta=500_000.0), id="large-theta"),
    pytest.param(dict(tied=False), id="untied"),
    pytest.param(dict(norm="layernorm"), id="layernorm"),
]


def small(**fields) -> Llama:
    torch.manual_seed(0)
    fields = dict(vocab_size=50, dim=24, n_layers=2, n_heads=3, n_kv_heads=1, max_seq_len=20) | fields
    return Llama(LlamaConfig(**fields)).eval()


@pytest.mark.parametrize("switches", SWITCHES)
@torch.no_grad()
def test_logits_equal_transformers_in_float64(switches):
    theirs, ours = random_pair(**switches)
    tokens = torch.randint(97, (3, 13))
    logits, _ = ours(tokens, targets=tokens)
    # transformers rounds its rotary angles to float32, whatever the model's dtype
    torch.testing.assert_close(logits, theirs(tokens).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("switches", SWITCHES)
@torch.no_grad()
def test_logits_equal_transformers_in_float32(switches):
    theirs, ours = random_pair(**switches)
    tokens = torch.randint(97, (2, 60))
    logits, _ = ours.float()(tokens, targets=tokens)
    torch.testing.assert_close(logits, theirs.float()(tokens).logits, atol=1e-4, rtol=0)


@torch.no_grad()
def test_hidden_states_equal_transformers():
    theirs, ours = random_pair()
    tokens = torch.randint(97, (3, 13))
    _, hidden = ours(tokens)
    expected = theirs(tokens, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_without_targets_only_the_last_position_is_projected():
    model = small()
    tokens = torch.randint(50, (2, 7))
    all_logits, _ = model(tokens, targets=tokens)
    last, _ = model(tokens)
    assert all_logits.shape == (2, 7, 50) and last.shape == (2, 1, 50)
    torch.testing.assert_close(last, all_logits[:, -1:])


@torch.no_grad()
def test_a_causal_model_does_not_see_the_future():
    model = small()
    tokens = torch.randint(50, (1, 9))
    changed = tokens.clone()
    changed[0, 6] = (changed[0, 6] + 1) % 50
    before, _ = model(tokens, targets=tokens)
    after, _ = model(changed, targets=tokens)
    torch.testing.assert_close(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


@torch.no_grad()
def test_a_bidirectional_model_does():
    model = small(causal=False)
    tokens = torch.randint(50, (1, 9))
    changed = tokens.clone()
    changed[0, 8] = (changed[0, 8] + 1) % 50
    assert not torch.allclose(model(tokens, targets=tokens)[0][:, 0], model(changed, targets=tokens)[0][:, 0])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_on_either_side_changes_nothing(side, causal):
    model = small(causal=causal).double()
    row = torch.randint(50, (1, 6))
    pad = torch.full((1, 3), 7)
    parts = [pad, row] if side == "left" else [row, pad]
    mask = torch.cat([torch.zeros_like(part) if part is pad else torch.ones_like(part) for part in parts], dim=1)
    padded = torch.cat(parts, dim=1)
    alone, _ = model(row, targets=row)
    batch, _ = model(padded, targets=padded, attention_mask=mask)
    torch.testing.assert_close(batch[mask.bool()], alone[0], atol=1e-12, rtol=0)


def test_padding_gives_no_nan_and_finite_gradients():
    model = small()
    tokens = torch.randint(50, (2, 5))
    mask = torch.tensor([[0, 0, 0, 1, 1], [1, 1, 1, 1, 1]])
    logits, _ = model(tokens, targets=tokens, attention_mask=mask)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_more_tokens_than_the_window_is_an_error_that_names_both():
    with pytest.raises(ValueError, match=r"21 tokens .* window of 20"):
        small()(torch.zeros(1, 21, dtype=torch.long))


def test_tied_embeddings_are_one_parameter_and_untied_are_two():
    tied, untied = small(), small(tie_embeddings=False)
    assert tied.output.weight is tied.tok_embeddings.weight
    assert untied.output.weight is not untied.tok_embeddings.weight


def test_only_projections_into_the_residual_stream_start_smaller():
    model = small(dim=120, n_heads=6, n_kv_heads=2, n_layers=8, vocab_size=300)
    scaled = 0.02 / (2 * 8) ** 0.5
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            expected = scaled if name.endswith(("compute_output.weight", "w2.weight")) else 0.02
            assert parameter.std().item() == pytest.approx(expected, rel=0.1), name


def test_dropout_acts_in_training_only():
    model = small(dropout=0.5)
    tokens = torch.randint(50, (2, 5))
    assert torch.equal(model(tokens)[0], model(tokens)[0])
    model.train()
    assert not torch.equal(model(tokens)[0], model(tokens)[0])


def test_from_weights_shares_the_tensors_it_is_given():
    source = small()
    copy = Llama.from_weights(source.config, source.state_dict())
    assert copy.layers[0].feed_forward.w1.weight.data_ptr() == source.layers[0].feed_forward.w1.weight.data_ptr()
    assert copy.output.weight is copy.tok_embeddings.weight


@pytest.mark.parametrize("damage", ["missing", "unexpected"])
def test_from_weights_names_the_weight_that_does_not_fit(damage):
    weights = dict(small().state_dict())
    if damage == "missing":
        del weights["layers.1.ffn_norm.weight"]
    else:
        weights["layers.9.ffn_norm.weight"] = torch.ones(24)
    with pytest.raises(ValueError, match=r"layers\.[19]\.ffn_norm\.weight"):
        Llama.from_weights(small().config, weights)
