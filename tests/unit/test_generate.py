"""Llama.generate: the cache, padded batches, the window, stopping."""

from __future__ import annotations

import pytest
import torch

from base_llama import KVCache
from config import LlamaConfig
from llama import Llama
from tests.oracle import random_pair

SWITCHES = [
    pytest.param({}, id="default"),
    pytest.param(dict(n_kv_heads=4), id="multi-head"),
    pytest.param(dict(n_kv_heads=1), id="multi-query"),
    pytest.param(dict(norm="layernorm"), id="layernorm"),
    pytest.param(dict(rope_theta=500_000.0), id="large-theta"),
    pytest.param(dict(tie_embeddings=False), id="untied"),
]


def small(**fields) -> Llama:
    torch.manual_seed(0)
    fields = dict(vocab_size=50, dim=32, n_layers=3, n_heads=4, n_kv_heads=2, max_seq_len=40) | fields
    model = Llama(LlamaConfig(**fields)).eval()
    for parameter in model.parameters():
        if parameter.dim() == 2:  # matrices large enough that greedy choices are no near ties
            parameter.data *= 8
    return model


def cache_for(model: Llama, batch_size: int) -> KVCache:
    return KVCache(model.config, batch_size, model.config.max_seq_len, model.dtype, model.device)


@pytest.mark.parametrize("fields", SWITCHES)
@torch.no_grad()
def test_cached_decoding_equals_a_full_pass_at_every_step(fields):
    model = small(**fields)
    tokens = torch.randint(50, (3, 25))
    mask = torch.ones_like(tokens)
    mask[0, :6] = 0  # unequal prompts: row 0 is left-padded
    mask[2, :1] = 0
    full, _ = model(tokens, targets=tokens, attention_mask=mask)
    cache = cache_for(model, 3)
    for end in range(10, 26):
        step, _ = model(tokens[:, cache.length : end], attention_mask=mask[:, :end], cache=cache)
        assert (step[:, 0] - full[:, end - 1]).abs().max() <= 1e-5


@torch.no_grad()
def test_a_cache_can_be_filled_in_pieces_of_any_size():
    model = small()
    tokens = torch.randint(50, (2, 12))
    full, _ = model(tokens, targets=tokens)
    cache = cache_for(model, 2)
    pieces = [model(tokens[:, a:b], targets=tokens, cache=cache)[0] for a, b in [(0, 5), (5, 6), (6, 12)]]
    torch.testing.assert_close(torch.cat(pieces, dim=1), full, atol=1e-5, rtol=0)


@torch.no_grad()
def test_greedy_tokens_equal_transformers():
    theirs, ours = random_pair()
    prompt = torch.randint(97, (2, 5))
    expected = theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=30, do_sample=False, eos_token_id=None
    )
    assert torch.equal(ours.generate(prompt, 30, temperature=0.0), expected)


def test_a_prompt_in_a_padded_batch_gives_the_same_tokens_as_alone():
    model = small()
    prompts = [torch.randint(50, (1, n)) for n in (3, 9, 6)]
    ids = torch.cat([torch.nn.functional.pad(p, (9 - p.shape[1], 0), value=49) for p in prompts])
    mask = torch.tensor([[0] * (9 - p.shape[1]) + [1] * p.shape[1] for p in prompts])
    batch = model.generate(ids, 40, temperature=0.0, attention_mask=mask)  # long enough to outgrow the window
    for row, prompt in zip(batch, prompts, strict=True):
        alone = model.generate(prompt, 40, temperature=0.0)
        assert row[9:].tolist() == alone[0, prompt.shape[1] :].tolist()


def test_past_the_window_the_model_sees_the_last_tokens_only():
    model = small(max_seq_len=8)
    idx = torch.randint(50, (1, 6))
    for _ in range(10):
        logits, _ = model(idx[:, -8:])
        idx = torch.cat((idx, logits[:, -1].argmax(-1, keepdim=True)), dim=1)
    assert torch.equal(model.generate(idx[:, :6], 10, temperature=0.0), idx)


def test_a_prompt_longer_than_the_window_is_cropped_on_the_left():
    model = small(max_seq_len=8)
    prompt = torch.randint(50, (1, 20))
    long = model.generate(prompt, 5, temperature=0.0)
    short = model.generate(prompt[:, -8:], 5, temperature=0.0)
    assert long.shape == (1, 25) and torch.equal(long[:, 20:], short[:, 8:])


def test_zero_new_tokens_gives_the_prompt_back():
    prompt = torch.randint(50, (2, 4))
    assert torch.equal(small().generate(prompt, 0), prompt)


def test_an_empty_prompt_is_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match="bos_id"):
        small().generate(torch.zeros(1, 0, dtype=torch.long), 3)


def test_generation_ends_when_every_row_has_stopped():
    model = small()
    free = model.generate(torch.tensor([[1], [2]]), 20, temperature=0.0)[:, 1:]
    stop = {int(free[0, 3]), int(free[1, 6])}
    ends = [next(i for i, token in enumerate(row.tolist()) if token in stop) for row in free]
    stopped = model.generate(torch.tensor([[1], [2]]), 20, temperature=0.0, stop_ids=stop)[:, 1:]
    assert stopped.shape[1] == max(ends) + 1
    for row, reference, end in zip(stopped, free, ends, strict=True):
        assert row[: end + 1].tolist() == reference[: end + 1].tolist()
        assert set(row[end:].tolist()) == {int(reference[end])}, "a finished row repeats its stop token"


def test_every_step_is_reported():
    seen = []
    output = small().generate(torch.tensor([[1], [2]]), 5, on_token=seen.append)
    assert torch.equal(torch.cat(seen, dim=1), output[:, 1:])


def test_the_same_seed_gives_the_same_text_and_another_seed_another():
    def run(seed):
        return small().generate(torch.tensor([[1]]), 30, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_a_tiny_top_k_or_top_p_is_greedy():
    model, prompt = small(), torch.tensor([[1]])
    greedy = model.generate(prompt, 20, temperature=0.0)
    assert torch.equal(model.generate(prompt, 20, top_k=1), greedy)
    assert torch.equal(model.generate(prompt, 20, top_p=1e-9), greedy)
