"""Every kind of vocabulary through tokenizer.Tokenizer, against the libraries that define it."""

import random
from pathlib import Path

import pytest
import sentencepiece
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from llamalab.formats import FormatError
from tests.vocabularies import (
    BYTES,
    CORPUS,
    PIECE_KINDS,
    TEXTS,
    any_text,
    gguf_of_byte_level,
    library_decode,
    quick,
    train_sentencepiece,
    write_gguf,
    write_llama2c,
)
from tokenizer import Tokenizer


@pytest.mark.parametrize("text", TEXTS)
def test_text_survives_encoding_and_decoding(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, bos=True, eos=True)) == text


@quick
@given(text=any_text)
def test_any_text_survives_encoding_and_decoding(tokenizer, text):
    text = text.replace("▁", " ")  # sentencepiece takes this one character for a space
    assert tokenizer.decode(tokenizer.encode(text, bos=False, eos=False)) == text


def test_bos_goes_before_and_eos_after_the_text(tokenizer):
    plain = tokenizer.encode("the dog", bos=False, eos=False)
    assert tokenizer.encode("the dog", bos=True, eos=True) == [tokenizer.bos_id, *plain, tokenizer.eos_id]
    assert tokenizer.encode("", bos=True, eos=False) == [tokenizer.bos_id]


def test_max_len_truncates_the_text_before_bos_and_eos_are_added(files):
    whole = Tokenizer(tokenizer_model=files["llama2c"]).encode(CORPUS[:200], bos=False, eos=False)
    short = Tokenizer(max_len=5, tokenizer_model=files["llama2c"])
    assert short.encode(CORPUS[:200], bos=True, eos=True) == [1, *whole[:5], 2]
    assert Tokenizer(max_len=0, tokenizer_model=files["llama2c"]).encode("the", bos=True, eos=True) == [1, 2]


def test_every_id_is_below_n_words_and_can_be_decoded(tokenizer):
    assert max(tokenizer.encode(CORPUS, bos=True, eos=True)) < tokenizer.n_words
    tokenizer.decode(range(tokenizer.n_words))


def test_padding_is_a_token_that_can_be_embedded(tokenizer):
    assert 0 <= tokenizer.pad_id < tokenizer.n_words


@pytest.mark.parametrize("kind", PIECE_KINDS)
def test_padding_of_a_llama_2_vocabulary_is_the_zero_byte(files, kind):
    assert Tokenizer(tokenizer_model=files[kind]).pad_id == 3


@pytest.mark.parametrize(
    ("kind", "add_bos"),
    [("sentencepiece", True), ("llama2c", True), ("gguf-llama", True), ("json", False), ("gguf-gpt2", False),
     ("json-pieces", True)],
)  # fmt: skip
def test_add_bos_says_how_the_model_was_trained(files, kind, add_bos):
    assert Tokenizer(tokenizer_model=files[kind]).add_bos is add_bos


def test_gguf_can_declare_that_bos_is_added(files, tmp_path):
    path = gguf_of_byte_level(tmp_path / "bos.gguf", files["json"], add_bos_token=True)
    assert Tokenizer(tokenizer_model=path).add_bos is True


def test_every_token_that_ends_a_reply_is_known(files):
    assert Tokenizer(tokenizer_model=files["gguf-gpt2"]).eos_ids == {0, 2}  # <|endoftext|> and <|im_end|>
    assert Tokenizer(tokenizer_model=files["sentencepiece"]).eos_ids == {2}


def test_text_that_is_no_utf8_is_refused_in_one_sentence(tokenizer):
    with pytest.raises(ValueError, match=r"lone surrogate U\+DC80 at position 2"):
        tokenizer.encode("ab\udc80", bos=True, eos=False)


def test_ids_outside_the_vocabulary_are_refused(tokenizer):
    for token_id in (-1, tokenizer.n_words):
        with pytest.raises(ValueError, match=f"{token_id} is none of the"):
            tokenizer.decode([token_id])


def test_ids_may_come_from_a_tensor(files):
    import torch

    tokenizer = Tokenizer(tokenizer_model=files["llama2c"])
    assert tokenizer.decode(torch.tensor(tokenizer.encode("the dog", bos=True, eos=False))) == "the dog"


def test_asking_for_a_bos_that_does_not_exist_says_so(tmp_path):
    library = tokenizers.Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    library.pre_tokenizer, library.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    library.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="no token that begins a text"):
        Tokenizer(tokenizer_model=tmp_path).encode("ab", bos=True, eos=False)


# Control tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, "<s>") for kind in (*PIECE_KINDS, "json-pieces")]
    + [("json", "<|im_start|>"), ("gguf-gpt2", "<|im_start|>")],
)  # fmt: skip
def test_the_name_of_a_control_token_is_plain_text_unless_special(files, kind, name):
    tokenizer = Tokenizer(tokenizer_model=files[kind])
    plain = tokenizer.encode(f"{name}the", bos=False, eos=False)
    assert tokenizer.bos_id not in plain and tokenizer.decode(plain) == f"{name}the"
    special = tokenizer.encode(f"{name}the", bos=False, eos=False, special=True)
    bos = tokenizer.vocabulary.control[name]
    assert special == [bos, *tokenizer.encode("the", bos=False, eos=False)]


def test_control_tokens_have_no_text(files):
    tokenizer = Tokenizer(tokenizer_model=files["gguf-gpt2"])
    the = tokenizer.encode("the", bos=False, eos=False)
    assert tokenizer.decode([1, *the, 2, 0]) == "the"


def test_user_defined_tokens_are_found_in_plain_text(files):
    tokenizer = Tokenizer(tokenizer_model=files["gguf-gpt2"])
    assert len(tokenizer.encode("<think>", bos=False, eos=False)) == 1
    assert tokenizer.decode(tokenizer.encode("so <think> so", bos=False, eos=False)) == "so <think> so"


# Scored byte-pair encoding -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS + ["a▁b", "▁", CORPUS])
@pytest.mark.parametrize("kind", ["llama2c", "gguf-llama"])
def test_scored_vocabulary_encodes_as_sentencepiece(files, kind, text):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(files["sentencepiece"]))
    tokenizer = Tokenizer(tokenizer_model=files[kind])
    assert tokenizer.encode(text, bos=False, eos=False) == processor.encode(text)


@quick
@given(text=any_text)
def test_scored_vocabulary_encodes_any_text_as_sentencepiece(files, text):
    processor = sentencepiece.SentencePieceProcessor(model_file=str(files["sentencepiece"]))
    tokenizer = Tokenizer(tokenizer_model=files["llama2c"])
    assert tokenizer.encode(text, bos=False, eos=False) == processor.encode(text)


def scored(folder: Path, pieces: dict[str, float]) -> Tokenizer:
    """A tokenizer.bin of the bytes and these pieces; the space and letters of the pieces come first."""
    tokens = [(b"<unk>", 0.0), (b"\n<s>\n", 0.0), (b"\n</s>\n", 0.0)]
    tokens += [(f"<0x{byte:02X}>".encode(), 0.0) for byte in range(256)]
    tokens += [(piece.encode(), score) for piece, score in pieces.items()]
    return Tokenizer(tokenizer_model=write_llama2c(folder / "scored.bin", tokens))


def test_the_best_score_merges_first(tmp_path):
    tokenizer = scored(tmp_path, {" ": -9.0, "a": -9.0, "b": -9.0, "c": -9.0, "ab": -2.0, "bc": -1.0})
    assert tokenizer.encode("abc", bos=False, eos=False) == [259, 260, 264]  # " ", "a", "bc"


def test_the_leftmost_of_equal_scores_merges_first(tmp_path):
    tokenizer = scored(tmp_path, {" ": -9.0, "a": -9.0, "aa": -1.0})
    assert tokenizer.encode("aaa", bos=False, eos=False) == [259, 261, 260]  # " ", "aa", "a"


def test_pieces_may_span_words_where_the_vocabulary_has_such(tmp_path):
    tokenizer = scored(tmp_path, {" ": -9.0, "a": -9.0, "a ": -2.0, "a a": -1.0})
    assert tokenizer.encode("a a", bos=False, eos=False) == [259, 262]


@pytest.mark.parametrize("text", ["a" * 100_000, "the dog " * 12_500, " " * 100_000])
def test_long_texts_take_no_quadratic_time(files, text):
    tokenizer = Tokenizer(tokenizer_model=files["llama2c"])
    ids = tokenizer.encode(text, bos=False, eos=False)  # half a second; a quadratic merge would take an hour
    assert tokenizer.decode(ids) == text


def test_user_defined_pieces_are_not_cut(tmp_path):
    tokens, types = [*BYTES, "▁", "a", "b", "ab", "<think>", "<think>ab"], 256 * [6] + [1, 1, 1, 1, 4, 4]
    scores = 256 * [0.0] + [-9.0, -9.0, -9.0, -1.0, 0.0, 0.0]
    path = write_gguf(tmp_path / "user.gguf", "llama", tokens, types, token_scores=scores)
    tokenizer = Tokenizer(tokenizer_model=path)
    assert tokenizer.encode("ab<think>ab<think>b", bos=False, eos=False) == [256, 259, 261, 260, 258]


def test_gguf_can_declare_that_no_space_goes_before_a_text(tmp_path):
    more = {"token_scores": 258 * [-1.0], "add_space_prefix": False}
    path = write_gguf(tmp_path / "bare.gguf", "llama", [*BYTES, "▁", "a"], 256 * [6] + [1, 1], **more)
    tokenizer = Tokenizer(tokenizer_model=path)
    assert tokenizer.encode("a a", bos=False, eos=False) == [257, 256, 257]
    assert tokenizer.decode([256, 257]) == " a"


# Byte-level byte-pair encoding -------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS + [CORPUS])
def test_gguf_vocabulary_encodes_as_the_library(files, text):
    library = tokenizers.Tokenizer.from_file(str(files["json"]))
    library.encode_special_tokens = True
    tokenizer = Tokenizer(tokenizer_model=files["gguf-gpt2"])
    assert tokenizer.encode(text, bos=False, eos=False) == library.encode(text).ids


@pytest.mark.parametrize(
    ("pre", "words"),
    [
        ("smollm", ["a", " ", "1", "2", "3", "4", " it", "'S"]),
        ("gpt-2", ["a", " 1234", " it", "'", "S"]),
        ("default", ["a", " 1234", " it", "'", "S"]),
        ("llama-bpe", ["a", " ", "123", "4", " it", "'S"]),
        ("qwen2", ["a", " ", "1", "2", "3", "4", " it", "'S"]),
    ],
)
def test_words_are_cut_as_the_pre_tokenizer_says(files, tmp_path, pre, words):
    tokenizer = Tokenizer(tokenizer_model=gguf_of_byte_level(tmp_path / "pre.gguf", files["json"], pre))
    cut = tokenizer.vocabulary.engine.pre_tokenizer.pre_tokenize_str("a 1234 it'S")
    text = [word.replace("Ġ", " ") for word, _ in cut]
    if pre == "smollm":  # GPT-2's expression knows 's, 't, ... in lower case only
        assert text == [*words[:-1], "'", "S"]
    else:
        assert text == words


def test_an_unknown_pre_tokenizer_is_refused_by_name(files, tmp_path):
    path = gguf_of_byte_level(tmp_path / "pre.gguf", files["json"], "tekken")
    with pytest.raises(FormatError, match="'tekken' is not supported"):
        Tokenizer(tokenizer_model=path)


# Decoding token by token -------------------------------------------------------------------------------


@quick
@given(data=st.data())
def test_the_stream_of_any_ids_is_their_text(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, tokenizer.n_words - 1), max_size=30))
    stream = tokenizer.decoder()
    assert "".join([stream.feed(token_id) for token_id in ids]) + stream.flush() == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", ["sentencepiece", "llama2c", "gguf-llama", "json", "gguf-gpt2"])
@quick
@given(data=st.data())
def test_any_ids_decode_as_in_the_library(files, kind, data):
    tokenizer = Tokenizer(tokenizer_model=files[kind])
    ids = data.draw(st.lists(st.integers(0, tokenizer.n_words - 1), max_size=30))
    assert tokenizer.decode(ids) == library_decode(files, kind)(ids)


def stream_text(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    stream = tokenizer.decoder()
    return [*(stream.feed(token_id) for token_id in ids), stream.flush()]


@quick
@given(text=any_text)
def test_no_piece_of_a_text_has_a_broken_character(tokenizer, text):
    text = text.replace("▁", " ").replace("\ufffd", "")
    pieces = stream_text(tokenizer, tokenizer.encode(text, bos=True, eos=True))
    assert "".join(pieces) == text and not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("kind", ["sentencepiece", "llama2c", "gguf-llama", "json-pieces"])
def test_a_character_of_several_tokens_comes_with_the_last(files, kind):
    tokenizer = Tokenizer(tokenizer_model=files[kind])
    emoji = [3 + byte for byte in "🙂".encode()]
    assert stream_text(tokenizer, [*emoji, 3 + ord("!")]) == ["", "", "", "🙂", "!", ""]


def test_a_character_of_several_tokens_comes_with_the_last_in_a_byte_level_vocabulary(files):
    tokenizer = Tokenizer(tokenizer_model=files["json"])
    ids = tokenizer.encode("🙂!", bos=False, eos=False)
    assert stream_text(tokenizer, ids) == ["", "", "", "🙂", "!", ""]


def test_a_character_never_completed_is_replaced_as_the_library_does(files):
    pieces = Tokenizer(tokenizer_model=files["llama2c"])
    assert stream_text(pieces, [3 + 0xF0, 3 + 0x9F]) == ["", "", "\ufffd\ufffd"]
    assert stream_text(pieces, [3 + 0xF0, 3 + ord("a")]) == ["", "\ufffda", ""]
    byte_level = Tokenizer(tokenizer_model=files["json"])
    ids = byte_level.encode("🙂", bos=False, eos=False)[:3]
    assert stream_text(byte_level, ids) == ["", "", "", "\ufffd"]


@quick
@given(prompt=any_text, new=any_text)
def test_a_stream_after_a_prompt_continues_its_text(tokenizer, prompt, new):
    prompt_ids = tokenizer.encode(prompt, bos=True, eos=False)
    new_ids = tokenizer.encode(new, bos=False, eos=True)
    stream = tokenizer.decoder(prompt_ids)
    text = "".join([stream.feed(token_id) for token_id in new_ids]) + stream.flush()
    assert tokenizer.decode(prompt_ids) + text == tokenizer.decode(prompt_ids + new_ids)


@pytest.mark.parametrize("options", [{"remove_extra_whitespaces": True}, {"add_dummy_prefix": False}])
def test_the_space_before_the_first_word_is_dropped_as_the_model_says(tmp_path, options):
    path = train_sentencepiece(tmp_path, **options)
    tokenizer = Tokenizer(tokenizer_model=path)
    library = sentencepiece.SentencePieceProcessor(model_file=str(path))
    rng = random.Random(0)
    for _ in range(300):
        ids = [rng.choice([rng.randrange(420), library.piece_to_id("▁"), 1]) for _ in range(5)]
        assert tokenizer.decode(ids) == library.decode(ids)

