"""Tokenizer files: found, real, damaged and hostile ones."""

import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import gguf
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from llamalab.formats import FormatError
from tests.vocabularies import (
    BYTES,
    TEXTS,
    write_gguf,
)
from tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]

def test_importing_and_opening_load_only_the_library_in_use(files):
    program = (
        "import sys, tokenizer\n"
        "def loaded(): return {'sentencepiece', 'tokenizers', 'jinja2'} & set(sys.modules)\n"
        "assert not loaded() and 'torch' not in sys.modules\n"
        "tokenizer.Tokenizer(tokenizer_model=sys.argv[1])\n"
        "assert loaded() == {sys.argv[2]}\n"
    )
    for kind, library in ("llama2c", "sentencepiece"), ("gguf-gpt2", "tokenizers"):
        command = [sys.executable, "-c", program, files[kind], library]
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
    monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path))
    (tmp_path / "tokenizer.model").write_bytes(files["sentencepiece"].read_bytes())
    assert Tokenizer().path == tmp_path / "tokenizer.model"
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.model").write_bytes(files["sentencepiece"].read_bytes())
    assert Tokenizer().path == tmp_path / "tokenizer" / "tokenizer.model"


def test_a_missing_default_says_how_to_fetch_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path))
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


def test_a_sentencepiece_model_cut_between_two_pieces_is_refused(files, tmp_path):
    data, path = files["sentencepiece"].read_bytes(), tmp_path / "tokenizer.model"
    ends = [0]
    for _ in range(300):  # each piece: a tag, a length below 128, its content
        ends.append(ends[-1] + 2 + data[ends[-1] + 1])
    for end in ends[::20]:
        path.write_bytes(data[:end])
        with pytest.raises(FormatError):
            Tokenizer(tokenizer_model=path)


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
        ("llama", [*BYTES, "a", "a"], 256 * [6] + [1, 1], {}, "1 tokens of the vocabulary appear twice"),
        ("llama", ["a", "b"], [1, 1], {}, "lacks some of the byte tokens"),
        ("llama", ["a", "b"], [1, 6], {}, "the byte token 'b' does not look like"),
        ("llama", [*BYTES, "a"], 256 * [6] + [1], {"token_scores": 257 * [float("nan")]}, "not a finite"),
        ("llama", [*BYTES, "a"], 256 * [6] + [1], {"token_scores": 257 * [float("inf")]}, "not a finite"),
        ("llama", [*BYTES, ""], 256 * [6] + [1], {}, "not a sentencepiece model"),
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


def test_smollm2_knows_how_it_was_trained(asset):
    tokenizer = Tokenizer(tokenizer_model=asset("smollm2"))
    assert (tokenizer.n_words, tokenizer.eos_ids, tokenizer.add_bos) == (49152, {0, 2}, False)


@pytest.mark.slow
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


@pytest.mark.parametrize("name", ["llama2-tokenizer-bin", "stories260K-tokenizer"])
def test_a_gguf_copy_of_a_real_vocabulary_gives_the_same_ids(asset, name, tmp_path):
    """Types and scores come by another way; a model with no unknown piece of its own is one more difference."""
    source = Tokenizer(tokenizer_model=asset(name))
    library = source.vocabulary.processor
    ids = range(source.n_words)
    pieces, scores = [library.id_to_piece(i) for i in ids], [library.get_score(i) for i in ids]
    types = [1, 3, 3] + 256 * [6] + (len(pieces) - 259) * [1]
    path = write_gguf(tmp_path / "copy.gguf", "llama", pieces, types, token_scores=scores)
    copy = Tokenizer(tokenizer_model=path)
    assert (copy.n_words, copy.bos_id, copy.eos_id) == (source.n_words, 1, 2)
    for text in [*TEXTS, asset("wikitext2-test").read_text()[:100_000]]:
        assert copy.encode(text, bos=True, eos=True) == source.encode(text, bos=True, eos=True)
