"""From prompts to text: padding, stopping, streaming, and models written for earlier courses."""

from __future__ import annotations

import pytest
import torch
from tokenizers import ByteLevelBPETokenizer

from base_llama import LlamaPreTrainedModel
from config import LlamaConfig
from llama import Llama
from llamalab.errors import UserError
from llamalab.generation import Timing, complete, left_pad
from tokenizer import Tokenizer

TEXT = "Once upon a time there was a little girl named Lily, and é was her favourite letter. " * 20


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([TEXT], vocab_size=300, special_tokens=["<s>", "</s>"])
    bpe.save(str(path))
    return Tokenizer(tokenizer_model=path)


@pytest.fixture(scope="module")
def llama() -> Llama:
    torch.manual_seed(0)
    model = Llama(LlamaConfig(vocab_size=300, dim=32, n_layers=2, n_heads=4, n_kv_heads=2, max_seq_len=64)).eval()
    for parameter in model.parameters():
        parameter.data *= 8 if parameter.dim() == 2 else 1
    return model


class CourseLlama(LlamaPreTrainedModel):
    """As the existing courses have it: no cache, no mask, and a ``generate`` of three arguments."""

    def __init__(self, llama: Llama) -> None:
        super().__init__(llama.config)
        self.inner = llama

    @torch.no_grad()
    def generate(self, idx, max_new_tokens, temperature=1.0):
        assert idx.shape[0] == 1
        for _ in range(max_new_tokens):
            logits, _ = self.inner(idx)
            probs = torch.softmax(logits[:, -1] / max(temperature, 1e-6), dim=-1)
            idx = torch.cat((idx, torch.multinomial(probs, 1)), dim=1)
        return idx


def test_left_pad_ends_every_row_where_the_batch_ends():
    ids, mask = left_pad([[5, 6, 7], [8]], pad_id=0)
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8]] and mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_prompts_of_a_batch_give_the_text_they_give_alone(llama, tokenizer):
    prompts = ["Once upon a time", "é", "", "there was a little girl named"]
    together = complete(llama, tokenizer, prompts, 20, temperature=0.0)
    alone = [complete(llama, tokenizer, [prompt], 20, temperature=0.0)[0] for prompt in prompts]
    assert together == alone


def test_streamed_pieces_are_the_text(llama, tokenizer):
    pieces = []
    [completion] = complete(llama, tokenizer, ["Once"], 40, seed=3, on_text=pieces.append, temperature=1.0)
    assert "".join(pieces) == completion.text and len(pieces) > 10


def test_text_ends_before_the_stop_token(llama, tokenizer):
    model = Llama.from_weights(llama.config, llama.state_dict())
    [free] = complete(model, tokenizer, ["Once"], 10, temperature=0.0)
    stop = free.new_ids[4]
    other = Tokenizer(tokenizer_model=tokenizer.path)
    other.eos_ids = {stop}
    [stopped] = complete(model, other, ["Once"], 10, temperature=0.0)
    assert stopped.new_ids == free.new_ids[: free.new_ids.index(stop)]


def test_an_empty_prompt_needs_a_bos_to_start_from(llama, tokenizer):
    other = Tokenizer(tokenizer_model=tokenizer.path)
    other.bos_id = -1
    with pytest.raises(UserError, match="no token that begins a text"):
        complete(llama, other, [""], 3)


def test_timing_counts_steps(llama, tokenizer):
    timing = Timing()
    complete(llama, tokenizer, ["Once"], 12, timing=timing, temperature=0.0)
    assert timing.steps <= 12 and timing.first_token_s > 0 and timing.tokens_per_second > 0


def test_a_model_of_an_earlier_course_generates_too(llama, tokenizer):
    prompts = ["Once upon", "a"]
    old = complete(CourseLlama(llama), tokenizer, prompts, 10, seed=1, temperature=0.0)
    new = complete(llama, tokenizer, prompts, 10, temperature=0.0)
    assert [c.text for c in old] == [c.text for c in new]


def test_the_text_of_such_a_model_is_not_lost_when_streamed(llama, tokenizer):
    pieces = []
    [completion] = complete(CourseLlama(llama), tokenizer, ["Once"], 9, on_text=pieces.append, temperature=0.0)
    assert "".join(pieces) == completion.text


def test_an_option_the_model_does_not_know_is_named(llama, tokenizer):
    with pytest.raises(UserError, match="top_k"):
        complete(CourseLlama(llama), tokenizer, ["a"], 3, top_k=5)


def test_several_prompts_cannot_be_streamed(llama, tokenizer):
    with pytest.raises(ValueError, match="single"):
        complete(llama, tokenizer, ["a", "b"], 3, on_text=print)
