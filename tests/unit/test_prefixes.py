"""The short way to a classifier's hidden states leads where ``Llama.forward`` leads."""

from __future__ import annotations

import pytest
import torch

from base_llama import LlamaConfig
from classifier import last_real
from llama import Llama
from llamalab.data.sentences import pad_right
from llamalab.fast.prefixes import last_hidden, prefix_tree, read_last_tokens
from llamalab.generation import left_pad
from lora import apply_lora, lora_layers
from tests.oracle import random_pair

ROWS = [[1, 5, 6, 7], [1, 5, 8], [1], [2, 9, 9, 9, 9, 3], [1, 5, 6, 7]]


def test_a_prefix_that_rows_share_is_computed_once():
    tree = prefix_tree(ROWS)
    assert sorted(zip(tree.tokens.tolist(), tree.positions.tolist(), strict=True)) == sorted(
        [(1, 0), (5, 1), (6, 2), (7, 3), (8, 2), (2, 0), (9, 1), (9, 2), (9, 3), (9, 4), (3, 5)]
    )


def test_every_row_can_be_read_back_from_the_tree():
    tree = prefix_tree(ROWS)
    for row, nodes, length in zip(ROWS, tree.nodes, tree.lengths, strict=True):
        assert tree.tokens[nodes[:length]].tolist() == row
    assert tree.nodes.flatten()[tree.owners].tolist() == list(range(len(tree.tokens)))


@pytest.mark.parametrize("n_kv_heads", [1, 2, 6])
@pytest.mark.parametrize("norm", ["rmsnorm", "layernorm"])
def test_hidden_states_are_those_of_the_model_in_float64(n_kv_heads, norm):
    _, llama = random_pair(n_kv_heads=n_kv_heads, norm=norm)
    tokens, mask = pad_right(ROWS, pad_id=0)
    expected = last_real(llama(tokens, attention_mask=mask)[1], mask)
    torch.testing.assert_close(last_hidden(llama, prefix_tree(ROWS)), expected, rtol=0, atol=1e-12)


def test_gradients_are_those_of_the_model_in_float64():
    _, llama = random_pair()
    tokens, mask = pad_right(ROWS, pad_id=0)
    weight = torch.randn(len(ROWS), llama.config.dim, dtype=torch.float64)
    # The model's own unread logits get no gradient either way; the tied matrix is the embedding's here.
    expected = torch.autograd.grad(
        (last_real(llama(tokens, attention_mask=mask)[1], mask) * weight).sum(), list(llama.parameters())
    )
    found = torch.autograd.grad((last_hidden(llama, prefix_tree(ROWS)) * weight).sum(), list(llama.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_adapters_take_part():
    _, llama = random_pair()
    apply_lora(llama, rank=2, alpha=8.0)
    for _, layer in lora_layers(llama):
        torch.nn.init.normal_(layer.lora_B)
    tokens, mask = pad_right(ROWS, pad_id=0)
    expected = last_real(llama(tokens, attention_mask=mask)[1], mask)
    torch.testing.assert_close(last_hidden(llama, prefix_tree(ROWS)), expected, rtol=0, atol=1e-12)


def test_the_replaced_forward_serves_a_classifier_unchanged():
    _, llama = random_pair()
    tokens, mask = pad_right(ROWS, pad_id=0)
    expected = last_real(llama(tokens, attention_mask=mask)[1], mask)
    assert read_last_tokens(llama)
    torch.testing.assert_close(last_real(llama(tokens, attention_mask=mask)[1], mask), expected, rtol=0, atol=1e-12)
    left, left_mask = left_pad(ROWS, pad_id=0)
    hidden = llama(left, attention_mask=left_mask)[1]
    torch.testing.assert_close(last_real(hidden, left_mask), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(last_real(llama(tokens[:1, :4])[1], None), expected[:1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("change", [{"causal": False}, {"dropout": 0.1}])
def test_a_model_whose_rows_share_nothing_is_left_as_it_is(change):
    llama = Llama(LlamaConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, n_kv_heads=2, max_seq_len=32, **change))
    assert not read_last_tokens(llama)
    assert "forward" not in vars(llama)


def test_a_model_that_computes_something_else_is_left_as_it_is(capsys):
    _, llama = random_pair()
    attention = llama.layers[1].attention
    attention.compute_query_key_value_scores = lambda query, key, value, mask=None: value
    assert not read_last_tokens(llama)
    assert "running it as written" in capsys.readouterr().err


def test_a_missing_part_of_the_students_code_is_not_hidden():
    _, llama = random_pair()

    def unwritten(x):
        raise NotImplementedError("rmsnorm: to do")

    llama.layers[0].attention_norm._norm = unwritten
    with pytest.raises(NotImplementedError):
        read_last_tokens(llama)
