"""GGUF: the header reader and the block formats against the gguf package, the model against transformers."""

from __future__ import annotations

import os
import struct
import time
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from llamalab import formats, models
from llamalab.formats import gguf_header
from llamalab.formats.gguf_blocks import FAST, dequantize
from llamalab.formats.gguf_header import TENSOR_TYPES, read_header, read_metadata
from tests.unit.test_formats_round_trips import assert_same, tiny
from tokenizer import Tokenizer

GGUF = gguf.GGUFValueType


def write_model(
    path: Path, changes: dict | None = None, kind: str = "F32", extra: dict | None = None
) -> dict:
    """Write a random llama model with the gguf package alone; returns its tensors as the file decodes them.

    changes: metadata keys to set, or to leave out for None. kind: type of the matrices. extra: more tensors.
    """
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    metadata = {
        "llama.block_count": 2,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 96,
        "llama.context_length": 32,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10000.0,
    }
    for key, value in (metadata | (changes or {})).items():
        if key == "general.architecture":
            writer.kv_data[0][key].value = value
        elif value is not None:
            writer.add_key_value(key, value, GGUF.get_type(value))
    blocks = {f"blk.{i}.{name}": shape for i in range(2) for name, shape in BLOCK.items()}
    tensors = {}
    for name, shape in {"token_embd": (80, 64), "output_norm": (64,), **blocks}.items():
        values = random.standard_normal(shape, dtype=np.float32)
        if len(shape) == 2 and kind != "F32":
            quantised = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
            writer.add_tensor(f"{name}.weight", quantised, raw_dtype=gguf.GGMLQuantizationType[kind])
            values = gguf.quants.dequantize(quantised, gguf.GGMLQuantizationType[kind])
        else:
            writer.add_tensor(f"{name}.weight", values)
        tensors[f"{name}.weight"] = torch.from_numpy(np.array(values))
    for name, values in (extra or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


BLOCK = {
    "attn_norm": (64,),
    "attn_q": (64, 64),
    "attn_k": (32, 64),
    "attn_v": (32, 64),
    "attn_output": (64, 64),
    "ffn_norm": (64,),
    "ffn_gate": (96, 64),
    "ffn_up": (96, 64),
    "ffn_down": (64, 96),
}
VOCABULARY = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": [f"t{i}" for i in range(79)] + ["é▁\n"],
    "tokenizer.ggml.merges": ["a b", "c d"],
    "tokenizer.chat_template": "{{ messages }}",
    "tokenizer.ggml.add_bos_token": False,
    "tokenizer.ggml.eos_token_id": 2,
}


def test_metadata_of_every_type_equals_what_was_written(tmp_path):
    values = {
        GGUF.UINT8: 250,
        GGUF.INT8: -5,
        GGUF.UINT16: 65000,
        GGUF.INT16: -300,
        GGUF.UINT32: 4_000_000_000,
        GGUF.INT32: -70000,
        GGUF.FLOAT32: 0.1,
        GGUF.BOOL: True,
        GGUF.STRING: "naïve ▁",
        GGUF.UINT64: 2**63 + 5,
        GGUF.INT64: -(2**40),
        GGUF.FLOAT64: 0.1,
    }
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    for kind, value in values.items():
        writer.add_key_value(f"one.{kind.name}", value, kind)
        writer.add_key_value(f"many.{kind.name}", [value] * 3, GGUF.ARRAY, kind)
    writer.add_key_value("nested", [[1, 2], [3]], GGUF.ARRAY, GGUF.ARRAY)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    metadata = read_metadata(tmp_path / "m.gguf")
    assert metadata["general.architecture"] == "llama"
    for kind, value in values.items():
        value = float(np.float32(value)) if kind == GGUF.FLOAT32 else value
        assert metadata[f"one.{kind.name}"] == value
        assert type(metadata[f"one.{kind.name}"]) is type(value)
        assert list(metadata[f"many.{kind.name}"]) == [value] * 3
    assert [array.tolist() for array in metadata["nested"]] == [[1, 2], [3]]


def test_the_table_of_tensor_types_is_the_gguf_package_s():
    theirs = {int(kind): (kind.name, *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}
    assert TENSOR_TYPES == theirs


@pytest.mark.parametrize("name", [name for name, _, _ in TENSOR_TYPES.values()])
def test_every_block_format_gives_the_gguf_package_s_numbers(name):
    kind = gguf.GGMLQuantizationType[name]
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    random = np.random.default_rng(1)
    data = random.integers(0, 256, (6, 3 * block_bytes), dtype=np.uint8)  # NaN and infinite scales among them
    shape = (6, 3 * block)
    with np.errstate(all="ignore"):
        try:
            theirs = gguf.quants.dequantize(data, kind)
        except NotImplementedError:
            with pytest.raises(NotImplementedError):
                dequantize(torch.from_numpy(data.reshape(-1)), name, shape)
            return
    ours = dequantize(torch.from_numpy(data.reshape(-1)), name, shape)
    if name in FAST:
        assert ours.dtype == torch.float32
    np.testing.assert_array_equal(ours.float().numpy().reshape(shape), theirs.astype(np.float32))


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_a_model_loads_with_the_numbers_that_its_types_stand_for(tmp_path, kind):
    tensors = write_model(tmp_path / "m.gguf", kind=kind)
    checkpoint = formats.load(tmp_path / "m.gguf")
    assert torch.equal(checkpoint.weights["tok_embeddings.weight"], tensors["token_embd.weight"])
    query = checkpoint.weights["layers.1.attention.compute_query.weight"]
    assert torch.equal(query, tensors["blk.1.attn_q.weight"])
    assert torch.equal(
        checkpoint.weights["layers.0.feed_forward.w1.weight"], tensors["blk.0.ffn_gate.weight"]
    )
    assert torch.equal(checkpoint.weights["layers.0.feed_forward.w3.weight"], tensors["blk.0.ffn_up.weight"])
    assert {weight.dtype for weight in checkpoint.weights.values()} == {torch.float32}
    assert checkpoint.config["n_kv_heads"] == 2 and checkpoint.config["layer_norm_eps"] == 1e-5
    assert checkpoint.config["vocab_size"] == 80 and checkpoint.config["tie_embeddings"] is True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_transformers_loads_the_same_model_from_our_file(tmp_path, tied):
    transformers = pytest.importorskip("transformers")
    from tests.oracle import our_weights

    checkpoint = tiny(tie_embeddings=tied, rope_theta=5e4, layer_norm_eps=1e-6)
    formats.save(checkpoint, tmp_path / "m.gguf")
    theirs = transformers.LlamaForCausalLM.from_pretrained(
        tmp_path, gguf_file="m.gguf", dtype=torch.float32, local_files_only=True
    )
    for name, weight in our_weights(theirs).items():
        assert torch.equal(checkpoint.weights[name], weight), name
    assert theirs.config.rope_parameters["rope_theta"] == pytest.approx(5e4)
    assert theirs.config.rms_norm_eps == pytest.approx(1e-6)


def test_a_vocabulary_is_found_and_travels_through_other_formats(tmp_path):
    write_model(tmp_path / "m.gguf", VOCABULARY)
    checkpoint = formats.load(tmp_path / "m.gguf")
    assert checkpoint.tokenizer == tmp_path / "m.gguf"
    assert formats.inspect(tmp_path / "m.gguf")["chat_template"] is True
    formats.save(checkpoint, tmp_path / "native")
    formats.save(formats.load(tmp_path / "native"), tmp_path / "hf", "huggingface")
    formats.save(formats.load(tmp_path / "hf"), tmp_path / "back.gguf")
    for path, holder in [
        ("native", "native/tokenizer.gguf"),
        ("hf", "hf/tokenizer.gguf"),
        ("back.gguf",) * 2,
    ]:
        assert formats.load(tmp_path / path).tokenizer == tmp_path / holder
        assert formats.inspect(tmp_path / path)["chat_template"] is True
        metadata = read_metadata(tmp_path / holder)
        assert {key: metadata[key] for key in VOCABULARY} == VOCABULARY
    assert read_header(tmp_path / "native" / "tokenizer.gguf").tensors == {}
    assert_same(formats.load(tmp_path / "back.gguf"), checkpoint)


@pytest.fixture
def parsed(monkeypatch) -> list[Path]:
    """Every GGUF file whose header is parsed, in order."""
    files, parse = [], gguf_header._Reader.header
    monkeypatch.setattr(gguf_header._Reader, "header", lambda self: files.append(self.path) or parse(self))
    gguf_header._parsed.cache_clear()
    return files


def last_changed(path: Path, seconds_ago: float) -> None:
    when = time.time_ns() - int(seconds_ago * 1e9)
    os.utime(path, ns=(when, when))


def test_a_finetuning_run_parses_a_gguf_header_once(files, tmp_path, parsed):
    path, vocabulary = tmp_path / "m.gguf", files["gguf-gpt2"]
    size = Tokenizer(tokenizer_model=vocabulary).n_words
    formats.save(replace(tiny(vocab_size=size), tokenizer=vocabulary), path)
    last_changed(path, seconds_ago=5)
    parsed.clear()
    models.open_tokenizer(path)
    formats.inspect(path)["config"]["max_seq_len"]
    models.load(path)
    assert parsed == [path]


def test_a_gguf_file_that_changes_is_parsed_again(tmp_path, parsed):
    path = tmp_path / "m.gguf"
    for seconds, theta in (5, 1e4), (4, 2e4), (3, 3e4):
        write_model(path, {"llama.rope.freq_base": theta})  # of the same size each time
        last_changed(path, seconds)
        assert formats.load(path).config["rope_theta"] == theta
    write_model(path, {"llama.rope.freq_base": 4e4})
    parsed.clear()
    assert formats.inspect(path)["config"] == formats.inspect(path)["config"]
    assert len(parsed) == 2  # written a moment ago: the same time may still be given to another content


def test_loading_leaves_the_number_of_threads_as_it_was(tmp_path):
    write_model(tmp_path / "m.gguf", kind="Q8_0")
    before = torch.get_num_threads()
    formats.load(tmp_path / "m.gguf")
    assert torch.get_num_threads() == before


def test_a_file_without_a_vocabulary_has_no_tokenizer(tmp_path):
    write_model(tmp_path / "m.gguf")
    assert formats.load(tmp_path / "m.gguf").tokenizer is None


@pytest.mark.parametrize(
    "key, value",
    [
        ("general.architecture", "gpt2"),
        ("llama.rope.scaling.type", "linear"),
        ("llama.rope.scaling.factor", 8.0),
        ("llama.attention.sliding_window", 4096),
        ("llama.expert_count", 8),
        ("llama.attention.key_length", 128),
        ("llama.rope.dimension_count", 8),
        ("llama.attention.head_count", [4, 4]),
        ("llama.attention.head_count_kv", 3),
        ("llama.embedding_length", 0),
        ("llama.attention.layer_norm_rms_epsilon", float("nan")),
        ("llama.feed_forward_length", None),
        ("split.count", 2),
    ],
)
def test_what_the_model_cannot_express_is_refused_by_name(tmp_path, key, value):
    write_model(tmp_path / "m.gguf", {key: value})
    ours = {"llama.attention.head_count": "n_heads", "llama.attention.head_count_kv": "n_kv_heads"}
    ours |= {"llama.embedding_length": "dim", "llama.attention.layer_norm_rms_epsilon": "layer_norm_eps"}
    with pytest.raises(formats.FormatError, match=f"m.gguf: .*{ours.get(key, key)}"):
        formats.load(tmp_path / "m.gguf")


def test_an_attention_bias_is_refused_by_name(tmp_path):
    write_model(tmp_path / "m.gguf", extra={"blk.0.attn_q.bias": np.zeros(64, np.float32)})
    with pytest.raises(formats.FormatError, match="'blk.0.attn_q.bias' has no place"):
        formats.load(tmp_path / "m.gguf")


def test_a_type_that_nobody_decodes_is_refused_by_name(tmp_path):
    write_model(tmp_path / "m.gguf", kind="F16")
    data = (tmp_path / "m.gguf").read_bytes()
    at = data.index(b"blk.0.attn_q.weight") + len(b"blk.0.attn_q.weight") + 4 + 16
    assert struct.unpack_from("<I", data, at) == (1,)  # F16
    (tmp_path / "m.gguf").write_bytes(data[:at] + struct.pack("<I", 25) + data[at + 4 :])  # I16
    with pytest.raises(formats.FormatError, match="'blk.0.attn_q.weight' has type I16"):
        formats.load(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    "version, reason", [(1, "version 1 is not"), (4, "version 4 is not"), (3 << 24, "big-endian")]
)
def test_other_versions_are_refused_by_number(tmp_path, version, reason):
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", version, 0, 0))
    with pytest.raises(formats.FormatError, match=reason):
        formats.load(tmp_path / "m.gguf")


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


HUGE = 1 << 60
LIES = {
    "tensors": struct.pack("<QQ", HUGE, 0),
    "keys": struct.pack("<QQ", 0, HUGE),
    "bytes for a key": struct.pack("<QQQ", 0, 1, HUGE),
    "bytes for the value": struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<IQ", 8, HUGE),
    "items for 'k', strings": struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<IIQ", 9, 8, HUGE),
    "items for 'k', numbers": struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<IIQ", 9, 4, HUGE),
    "items for 'k', arrays": struct.pack("<QQ", 0, 1) + string("k") + struct.pack("<IIQ", 9, 9, HUGE),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_count_that_the_file_cannot_hold_is_refused_before_memory_is_spent(tmp_path, lie):
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + struct.pack("<I", 3) + LIES[lie] + bytes(64))
    with pytest.raises(formats.FormatError, match=f"claims {HUGE} {lie.split(',')[0]}"):
        read_header(tmp_path / "m.gguf")


def test_arrays_cannot_be_nested_without_end(tmp_path):
    nested = struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000
    data = struct.pack("<QQ", 0, 1) + string("k") + nested
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + struct.pack("<I", 3) + data)
    with pytest.raises(formats.FormatError, match="nests arrays deeper"):
        read_header(tmp_path / "m.gguf")


def tensor(name: str, shape: tuple[int, ...], offset: int, kind: int = 0) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
    return string(name) + dimensions + struct.pack("<IQ", kind, offset)


@pytest.mark.parametrize(
    "tensors, reason",
    [
        ([tensor("a", (HUGE, HUGE), 0)], "ends at byte"),
        ([tensor("a", (8,), 0), tensor("b", (8,), 16)], "overlaps"),
        ([tensor("a", (8,), 0), tensor("b", (8,), 0)], "overlaps"),
        ([tensor("a", (8,), 0), tensor("a", (8,), 32)], "appears twice"),
        ([tensor("a", (8,), 7)], "not aligned"),
        ([tensor("a", (8, 0), 0)], "impossible shape"),
        ([tensor("a", (33,), 0, kind=8)], "impossible shape"),
        ([tensor("a", (1,) * 5, 0)], "claims 5 dimensions"),
        ([tensor("a", (8,), 0, kind=99)], "unknown type 99"),
    ],
)
def test_tensors_that_lie_about_their_place_are_refused(tmp_path, tensors, reason):
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 0)
    (tmp_path / "m.gguf").write_bytes(header + b"".join(tensors) + bytes(256))
    with pytest.raises(formats.FormatError, match=reason):
        read_header(tmp_path / "m.gguf")


def test_a_billion_claimed_layers_fail_at_the_first_one_missing(tmp_path):
    write_model(tmp_path / "m.gguf", {"llama.block_count": 2_000_000_000})
    with pytest.raises(formats.FormatError, match="'blk.2.attn_q.weight' is missing"):
        formats.load(tmp_path / "m.gguf")
