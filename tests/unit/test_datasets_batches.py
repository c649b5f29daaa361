"""Labelled sentences as tokens and as batches."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch
from tokenizers import ByteLevelBPETokenizer

from llamalab.data.sentences import Example, encode_examples, length_batches, pad_right, read_examples
from tokenizer import Tokenizer

# Tokens


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(["a lovely film with lovely performances"] * 9, 280, special_tokens=["<s>", "</s>"])
    bpe.save(str(path))
    return Tokenizer(tokenizer_model=path)


@pytest.fixture(params=[True, False], ids=["trained with BOS", "trained without BOS"])
def add_bos(request, tokenizer, monkeypatch) -> bool:
    monkeypatch.setattr(tokenizer, "add_bos", request.param)
    return request.param


@pytest.mark.parametrize("eos", [True, False])
def test_a_row_is_the_sentence_between_its_bos_and_eos(tokenizer, add_bos, eos):
    rows, cropped = encode_examples([Example(0, "a lovely film")], tokenizer, max_len=99, eos=eos)
    text = tokenizer.encode("a lovely film", bos=False, eos=False)
    assert rows == [[tokenizer.bos_id] * add_bos + text + [tokenizer.eos_id] * eos] and cropped == 0


def test_an_empty_sentence_is_one_token_the_bos(tokenizer, add_bos):
    assert encode_examples([Example(0, "")], tokenizer, max_len=99, eos=False) == ([[tokenizer.bos_id]], 0)


def test_long_sentences_keep_their_beginning_and_are_counted(tokenizer, add_bos):
    examples = [Example(0, "a lovely film with"), Example(0, "a"), Example(0, "lovely " * 50)]
    whole, _ = encode_examples(examples, tokenizer, max_len=999, eos=False)
    rows, cropped = encode_examples(examples, tokenizer, max_len=len(whole[0]), eos=False)
    assert rows == [row[: len(whole[0])] for row in whole] and cropped == 1


def test_a_cropped_sentence_still_ends_with_eos(tokenizer, add_bos):
    [whole], _ = encode_examples([Example(0, "lovely " * 50)], tokenizer, max_len=999, eos=False)
    [row], cropped = encode_examples([Example(0, "lovely " * 50)], tokenizer, max_len=10, eos=True)
    assert row == whole[:9] + [tokenizer.eos_id] and cropped == 1


@pytest.mark.parametrize(("max_len", "eos"), [(0, False), (1, True)])
def test_a_limit_without_room_for_a_token_of_the_sentence_is_an_error(tokenizer, max_len, eos):
    with pytest.raises(ValueError, match="leaves no room"):
        encode_examples([Example(0, "a")], tokenizer, max_len, eos)


def test_an_eos_is_not_made_up_where_the_tokenizer_has_none(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "eos_id", -1)
    with pytest.raises(ValueError, match="no EOS"):
        encode_examples([Example(0, "a")], tokenizer, 9, eos=True)


# Batches


def padding(lengths: list[int], batches: list[list[int]]) -> float:
    """The share of padding among all tokens of the batches."""
    return 1 - sum(lengths) / sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize(("n", "batch_size"), [(0, 4), (1, 4), (4, 4), (1003, 4), (999, 1000), (250, 1)])
def test_batches_hold_every_index_once_in_as_few_steps_as_plain_batching(n, batch_size, shuffled):
    lengths = [random.Random(n).randrange(100) for _ in range(n)]
    batches = length_batches(lengths, batch_size, seeded(0) if shuffled else None)
    assert sorted(itertools.chain(*batches)) == list(range(n))
    assert len(batches) == math.ceil(n / batch_size)
    assert sum(len(batch) != batch_size for batch in batches) <= 1


def test_evaluation_batches_go_from_long_to_short():
    assert length_batches([3, 9, 4, 8, 5], 2) == [[1, 3], [4, 2], [0]]


def test_training_batches_follow_the_generator_alone():
    lengths = [random.Random(1).randrange(100) for _ in range(500)]
    assert length_batches(lengths, 8, seeded(3)) == length_batches(lengths, 8, seeded(3))
    assert length_batches(lengths, 8, seeded(3)) != length_batches(lengths, 8, seeded(4))
    generator = seeded(3)
    first, second = (length_batches(lengths, 8, generator) for _ in range(2))
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


def test_training_does_not_go_through_the_lengths_in_order():
    lengths = list(range(4000))
    means = [sum(batch) / len(batch) for batch in length_batches(lengths, 8, seeded(0))]
    rising = sum(later > earlier for earlier, later in itertools.pairwise(means)) / len(means)
    assert 0.4 < rising < 0.6


def test_similar_lengths_save_nearly_all_padding_on_real_sentences(asset):
    lengths = [len(example.sentence) for example in read_examples(asset("sst-train"))]
    in_order = [list(range(start, min(start + 80, 8544))) for start in range(0, 8544, 80)]
    assert padding(lengths, in_order) > 0.5
    assert padding(lengths, length_batches(lengths, 80, seeded(0))) < 0.06


def test_a_batch_size_below_one_is_an_error():
    with pytest.raises(ValueError, match="batch_size=0"):
        length_batches([1, 2], 0)


def test_pad_right_begins_every_row_where_the_batch_begins():
    ids, mask = pad_right([[5, 6, 7], [8]], pad_id=0)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert ids.dtype == mask.dtype == torch.int64
