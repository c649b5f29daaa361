"""Every kind of vocabulary through tokenizer.Tokenizer, against the libraries that define it."""

import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path

import gguf
import pytest
import sentencepiece
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

import tokenizer as tokenizer_module
from llamalab.formats import FormatError
from tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]

CORPUS = """The quick brown fox jumps over the lazy dog, and the dog does not mind; it's the 23rd of May 1998.
def area(radius):\n    return 3.14159 * radius ** 2  # in square metres\n
Once upon a time there was a little girl who lived in a village near the forest. She'd walk there often.
Ein Bär über dem Fluß, une forêt où rêvent les élèves, и ещё немного русского текста, 日本語の文章と中文。
""" * 20  # fmt: skip
TEXTS = [
    "", " ", "  ", "a", " a", "a ", "the  dog", "   three before, two after  ", "\n", "\n\n the\n",
    "\ttabs\tand\r\n", "nul\0byte", "1234567890 12 3", "it's he'll I'D", "naïve café – “quoted”",
    "日本語の文章", "ẞ e\u0301 ﬁ", "🙂👩‍👩‍👧‍👦🇩🇪", "def f(x):\n    return x**2\n", "<s>", "</s><unk>",
    "<0x0A>", "<|im_start|>user", "\ufeffbom", "\u3000wide", "~" * 50,
]  # fmt: skip
KINDS = ["sentencepiece", "llama2c", "gguf-llama", "json", "gguf-gpt2", "json-pieces"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECE_KINDS = ["sentencepiece", "llama2c", "gguf-llama"]

any_character = st.one_of(st.sampled_from("ab the  \n\t1é日🙂<|>s\0"), st.characters(codec="utf-8"))
any_text = st.text(any_character, max_size=40)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


# Vocabularies, made once -------------------------------------------------------------------------------


def train_sentencepiece(folder: Path, name: str = "tokenizer.model", **options) -> Path:
    """A BPE model with the settings of Llama 2: nothing normalized, a space in front, bytes for the rest."""
    (folder / "corpus.txt").write_text(CORPUS)
    chosen = {"model_type": "bpe", "vocab_size": 420, "byte_fallback": True, "character_coverage": 0.98,
              "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
              "allow_whitespace_only_pieces": True, "split_digits": True, "minloglevel": 2}  # fmt: skip
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"), model_prefix=str(folder / "trained"), **chosen | options
    )
    return (folder / "trained.model").rename(folder / name)


def write_llama2c(path: Path, tokens: list[tuple[bytes, float]]) -> Path:
    """What llama2.c's tokenizer.py writes."""
    data = struct.pack("<i", max(len(piece) for piece, _ in tokens))
    data += b"".join(struct.pack("<fi", score, len(piece)) + piece for piece, score in tokens)
    path.write_bytes(data)
    return path


def llama2c_tokens(model: Path) -> list[tuple[bytes, float]]:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    pieces = [processor.id_to_piece(i).replace("▁", " ").encode() for i in range(len(processor))]
    pieces[1:3] = b"\n<s>\n", b"\n</s>\n"
    return [(piece, processor.get_score(i)) for i, piece in enumerate(pieces)]


def write_gguf(path: Path, model: str, tokens: list, types: list[int], **more) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for name, value in more.items():
        getattr(writer, f"add_{name}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def gguf_of_sentencepiece(path: Path, model: Path) -> Path:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    ids = range(len(processor))
    kinds = (2, processor.is_unknown), (3, processor.is_control), (6, processor.is_byte)
    types = [next((kind for kind, has in kinds if has(i)), 1) for i in ids]
    return write_gguf(
        path, "llama", [processor.id_to_piece(i) for i in ids], types,
        token_scores=[processor.get_score(i) for i in ids], bos_token_id=1, eos_token_id=2,
    )  # fmt: skip


def train_byte_level(path: Path) -> Path:
    """Byte-level BPE as SmolLM2's: digits one by one, then GPT-2's words."""
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    )  # fmt: skip
    library.train_from_iterator([CORPUS], trainer)
    library.add_tokens(["<think>"])
    library.save(str(path))
    return path


def gguf_of_byte_level(path: Path, source: Path, pre: str = "smollm", **more) -> Path:
    content = json.loads(source.read_text())
    ids = content["model"]["vocab"] | {token["content"]: token["id"] for token in content["added_tokens"]}
    special = {token["content"]: 3 if token["special"] else 4 for token in content["added_tokens"]}
    tokens = sorted(ids, key=ids.__getitem__)
    merges = [" ".join(merge) for merge in content["model"]["merges"]]
    types = [special.get(token, 1) for token in tokens]
    chosen = {"token_merges": merges, "tokenizer_pre": pre, "bos_token_id": 1, "eos_token_id": 2}
    return write_gguf(path, "gpt2", tokens, types, **chosen | more)


def write_pieces_json(path: Path) -> Path:
    """A tokenizer.json as transformers writes for Llama 2: sentencepiece's pieces, bytes for the rest."""
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += ["▁", "a", "b", "t", "h", "e", "▁t", "he", "▁the", "▁▁", "日"]
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("▁", "▁")]
    ids = {piece: i for i, piece in enumerate(pieces)}
    library = tokenizers.Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    library.save(str(path))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("vocabularies")
    (folder / "pieces").mkdir()
    model, byte_level = train_sentencepiece(folder), train_byte_level(folder / "tokenizer.json")
    return {
        "sentencepiece": model,
        "llama2c": write_llama2c(folder / "tokenizer.bin", llama2c_tokens(model)),
        "gguf-llama": gguf_of_sentencepiece(folder / "llama.gguf", model),
        "json": byte_level,
        "gguf-gpt2": gguf_of_byte_level(folder / "gpt2.gguf", byte_level),
        "json-pieces": write_pieces_json(folder / "pieces" / "tokenizer.json"),
    }


@pytest.fixture(params=KINDS)
def tokenizer(request, files) -> Tokenizer:
    return Tokenizer(tokenizer_model=files[request.param])


def library_decode(files: dict[str, Path], kind: str):
    """The decoder of the library that defines a kind of vocabulary."""
    if kind in PIECE_KINDS:
        return sentencepiece.SentencePieceProcessor(model_file=str(files["sentencepiece"])).decode
    return tokenizers.Tokenizer.from_file(str(files["json"])).decode


# Text to ids and back ----------------------------------------------------------------------------------


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
    start = time.perf_counter()
    tokenizer.encode(text, bos=False, eos=False)
    assert time.perf_counter() - start < 5  # about half a second on an idle core, minutes if quadratic


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
    cut = tokenizer.vocabulary.library.pre_tokenizer.pre_tokenize_str("a 1234 it'S")
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


# Files -------------------------------------------------------------------------------------------------


def test_importing_and_opening_load_only_the_library_in_use(files):
    program = (
        "import sys, tokenizer\n"
        "def loaded(): return {'sentencepiece', 'tokenizers', 'jinja2'} & set(sys.modules)\n"
        "assert not loaded() and 'torch' not in sys.modules\n"
        "tokenizer.Tokenizer(tokenizer_model=sys.argv[1])\n"
        "assert not loaded()\n"
        "tokenizer.Tokenizer(tokenizer_model=sys.argv[2])\n"
        "assert loaded() == {'tokenizers'}\n"
    )
    command = [sys.executable, "-c", program, files["llama2c"], files["gguf-gpt2"]]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_directory_stands_for_the_vocabulary_in_it(files, tmp_path):
    for kind in ("llama2c", "sentencepiece", "json"):  # each comes before those that are there already
        path = tmp_path / files[kind].name
        path.write_bytes(files[kind].read_bytes())
        assert Tokenizer(tokenizer_model=tmp_path).path == path


def test_a_directory_with_one_gguf_file_stands_for_it(files, tmp_path):
    (tmp_path / "model.gguf").write_bytes(files["gguf-gpt2"].read_bytes())
    assert Tokenizer(tokenizer_model=tmp_path).path.name == "model.gguf"
    (tmp_path / "other.gguf").write_bytes(files["gguf-gpt2"].read_bytes())
    with pytest.raises(FormatError, match="holds 2 .gguf files; name one"):
        Tokenizer(tokenizer_model=tmp_path)


def test_the_files_beside_a_tokenizer_json_name_its_tokens(files, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(files["json"].read_bytes())
    config = {"bos_token": {"content": "<|im_start|>"}, "eos_token": "<|endoftext|>"}
    config |= {"pad_token": "<|im_end|>", "chat_template": "{{ messages }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 5]}))
    tokenizer = Tokenizer(tokenizer_model=tmp_path)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 0, 2)
    assert tokenizer.eos_ids == {0, 2, 5}
    assert tokenizer.chat_template == "{{ messages }}"


def test_the_default_is_the_projects_tokenizer(files, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizer_module, "PROJECT", tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(files["sentencepiece"].read_bytes())
    assert Tokenizer().path == tmp_path / "tokenizer.model"
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.model").write_bytes(files["sentencepiece"].read_bytes())
    assert Tokenizer().path == tmp_path / "tokenizer" / "tokenizer.model"


def test_a_missing_default_says_how_to_fetch_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizer_module, "PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="python -m llamalab.assets fetch llama2-tokenizer"):
        Tokenizer()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.model: there is no such tokenizer file"):
        Tokenizer(tokenizer_model=tmp_path / "nowhere.model")
    with pytest.raises(FileNotFoundError, match="holds no tokenizer.json"):
        Tokenizer(tokenizer_model=tmp_path)


def ends_of_tokens(data: bytes) -> set[int]:
    """Where a tokenizer.bin could end; a cut just there may leave a whole, smaller vocabulary."""
    ends = {4}
    while max(ends) < len(data):
        ends.add(max(ends) + 8 + struct.unpack_from("<i", data, max(ends) + 4)[0])
    return ends


@pytest.mark.parametrize("kind", ["sentencepiece", "llama2c", "json", "gguf-llama", "gguf-gpt2"])
def test_a_truncated_file_is_refused_in_one_sentence(files, kind, tmp_path):
    data = files[kind].read_bytes()
    path = tmp_path / files[kind].name
    whole = ends_of_tokens(data) if kind == "llama2c" else set()
    for size in {0, 1, 3, 5, *range(7, len(data) - 1, len(data) // 40)} - whole:
        path.write_bytes(data[:size])
        with pytest.raises(FormatError) as refusal:
            Tokenizer(tokenizer_model=path)
        assert str(refusal.value).startswith(str(path)) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["sentencepiece", "llama2c", "json", "gguf-llama", "gguf-gpt2"])
def test_a_corrupt_file_is_refused_or_harmless(files, kind, tmp_path):
    rng, path = random.Random(0), tmp_path / files[kind].name
    for _ in range(60):
        data = bytearray(files[kind].read_bytes())
        for _ in range(rng.choice([1, 3, 20])):
            data[rng.randrange(rng.choice([60, 600, len(data)]))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            tokenizer = Tokenizer(tokenizer_model=path)
        except FormatError as refusal:
            assert str(path) in str(refusal)
        else:
            tokenizer.decode(tokenizer.encode("the dog 🙂", bos=False, eos=False))


def test_a_file_of_another_kind_is_refused(files, tmp_path):
    for name, content, reason in (
        ("notes.txt", b"text", "not a tokenizer"),
        ("model.bin", struct.pack("<7i", 64, 172, 5, 8, 4, 512, 512) * 50, "llama2.c tokenizer"),
        ("tokenizer.model", b"IQ== 0\nIg== 1\n", "not a sentencepiece model"),
        ("tokenizer.json", b"[" * 100_000, "not a tokenizer.json"),
        ("tokenizer.json", b'{"model": {}}', "not a tokenizer.json"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError, match=reason):
            Tokenizer(tokenizer_model=tmp_path / name)


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "tokenizer.bin")
    with pytest.raises(FormatError, match="not a regular file"):
        Tokenizer(tokenizer_model=tmp_path / "tokenizer.bin")


def test_a_file_far_too_large_for_a_tokenizer_is_not_read(tmp_path):
    for name in ("tokenizer.model", "tokenizer.bin", "tokenizer.json"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 200 << 20)
        with pytest.raises(FormatError, match="has 209715200 bytes"):
            Tokenizer(tokenizer_model=tmp_path / name)


def test_a_word_piece_tokenizer_is_refused(tmp_path):
    library = tokenizers.Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    library.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(FormatError, match="neither a byte-level BPE nor"):
        Tokenizer(tokenizer_model=tmp_path)


def test_ids_no_vocabulary_reaches_are_refused(tmp_path):
    library = tokenizers.Tokenizer(models.BPE({"a": 0}, []))
    library.decoder = decoders.ByteLevel()
    (tmp_path / "tokenizer.json").write_text(library.to_str().replace('"a":0', '"a":4000000000'))
    with pytest.raises(FormatError, match="has ids for 4000000001 tokens"):
        Tokenizer(tokenizer_model=tmp_path)


@pytest.mark.parametrize(
    ("model", "tokens", "types", "more", "reason"),
    [
        ("t5", ["a"], [1], {}, "tokenizer model 't5' is not supported"),
        ("gpt2", ["a", "a"], [1, 1], {}, "1 tokens of the vocabulary appear twice"),
        ("gpt2", ["a", "b"], [1, 1], {"token_merges": ["ab"]}, "a merge is not two tokens"),
        ("gpt2", ["a", "b"], [1, 1], {"token_merges": ["a b"]}, "a merge is not two tokens"),
        ("gpt2", ["a", "b"], [1], {}, "token_type does not hold a number for each of 2 tokens"),
        ("gpt2", ["a", "b"], [1, 1], {"eos_token_id": 7}, "the eos token 7 is not one of the 2 tokens"),
        ("llama", ["a", "b"], [1, 1], {}, "lacks some of the byte tokens"),
        ("llama", ["a", "b"], [1, 6], {}, "the byte token 'b' does not look like"),
        ("llama", [*BYTES, "a"], 256 * [6] + [1], {"token_scores": 257 * [float("nan")]}, "not a finite"),
    ],
)  # fmt: skip
def test_a_gguf_vocabulary_that_contradicts_itself_is_refused(tmp_path, model, tokens, types, more, reason):
    path = write_gguf(tmp_path / "bad.gguf", model, tokens, types, **more)
    with pytest.raises(FormatError, match=reason):
        Tokenizer(tokenizer_model=path)


def test_a_gguf_file_without_a_vocabulary_is_refused(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "weights.gguf", "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(FormatError, match="holds no vocabulary"):
        Tokenizer(tokenizer_model=tmp_path / "weights.gguf")


# The real vocabularies ---------------------------------------------------------------------------------


def test_llama_2_tokenizer_is_as_the_courses_know_it(asset):
    tokenizer = Tokenizer(tokenizer_model=asset("llama2-tokenizer"))
    assert (tokenizer.n_words, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (32000, 1, 2, 3)
    assert tokenizer.encode("Hello world", bos=True, eos=False) == [1, 15043, 3186]


@pytest.mark.parametrize("text", TEXTS)
def test_llama2c_vocabulary_encodes_as_the_llama_2_model(asset, text):
    own = Tokenizer(tokenizer_model=asset("llama2-tokenizer-bin"))
    library = Tokenizer(tokenizer_model=asset("llama2-tokenizer"))
    assert own.encode(text, bos=True, eos=True) == library.encode(text, bos=True, eos=True)


def test_llama2c_vocabulary_encodes_wikitext_as_the_llama_2_model(asset):
    text = asset("wikitext2-test").read_text()[:300_000]
    own = Tokenizer(tokenizer_model=asset("llama2-tokenizer-bin"))
    library = Tokenizer(tokenizer_model=asset("llama2-tokenizer"))
    ids = own.encode(text, bos=False, eos=False)
    assert ids == library.encode(text, bos=False, eos=False) and own.decode(ids) == text


@pytest.mark.parametrize("text", TEXTS)
def test_the_512_piece_vocabulary_round_trips(asset, text):
    tokenizer = Tokenizer(tokenizer_model=asset("stories260K-tokenizer"))
    assert tokenizer.n_words == 512
    assert tokenizer.decode(tokenizer.encode(text, bos=True, eos=True)) == text


def test_smollm2_opens_quickly(asset):
    path = asset("smollm2")
    Tokenizer(tokenizer_model=path)  # the libraries' import is not counted
    start = time.process_time()
    tokenizer = Tokenizer(tokenizer_model=path)
    assert time.process_time() - start < 1.5  # 0.25 s on an idle core
    assert (tokenizer.n_words, tokenizer.eos_ids, tokenizer.add_bos) == (49152, {0, 2}, False)


def test_smollm2_encodes_as_transformers(asset):
    """transformers cuts this file's words by GPT-2's expression alone; the model knows single digits only."""
    transformers = pytest.importorskip("transformers")
    path = asset("smollm2")
    tokenizer = Tokenizer(tokenizer_model=path)
    peer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    backend = peer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), backend.pre_tokenizer])
    for text in TEXTS:
        if "<|im_start|>" not in text:  # transformers makes a control token of it
            assert tokenizer.encode(text, bos=False, eos=False) == peer.encode(text, add_special_tokens=False)
    text = asset("wikitext2-test").read_text()[:300_000]
    ids = tokenizer.encode(text, bos=False, eos=False)
    assert ids == peer.encode(text, add_special_tokens=False) and tokenizer.decode(ids) == text
    messages = [{"role": "user", "content": "Hi, 12 🙂"}, {"role": "assistant", "content": " Yes.\n"}]
    expected = peer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert tokenizer.apply_chat_template(messages) == expected
    assert tokenizer.encode_chat(messages) == peer.encode(expected, add_special_tokens=False)
