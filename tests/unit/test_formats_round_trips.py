"""Every checkpoint format writes what it and every other format reads back."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from config import LlamaConfig
from llama import Llama
from llamalab import formats
from llamalab.formats.checkpoint import DEFAULTS, expected_shapes
from llamalab.formats.checks import check_config

# Odd sizes that all differ, so that a mixed-up axis cannot go unnoticed.
SIZES = dict(vocab_size=67, dim=48, n_layers=3, n_heads=6, n_kv_heads=2, hidden_dim=40, max_seq_len=24)


def tiny(seed: int = 0, **fields) -> formats.Checkpoint:
    """A random checkpoint of a few thousand parameters."""
    config = check_config(Path("tiny"), SIZES | fields)
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in expected_shapes(config)}
    if config["tie_embeddings"]:
        weights["output.weight"] = weights["tok_embeddings.weight"]
    return formats.Checkpoint(config, weights, "llamalab", Path("tiny"), None)


def write(checkpoint: formats.Checkpoint, folder: Path, format: str) -> Path:
    """Save under a name that does not give the format away."""
    path = folder / f"checkpoint-{format}"
    formats.save(checkpoint, path, format)
    return path


def assert_same(loaded: formats.Checkpoint, expected: formats.Checkpoint) -> None:
    assert loaded.config == expected.config
    assert loaded.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        assert loaded.weights[name].dtype == weight.dtype, name
        assert torch.equal(loaded.weights[name], weight), name


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("target", formats.FORMATS)
@pytest.mark.parametrize("source", formats.FORMATS)
def test_a_checkpoint_survives_the_way_from_any_format_to_any_other(tmp_path, source, target, tied):
    checkpoint = tiny(tie_embeddings=tied)
    first = write(checkpoint, tmp_path, source)
    loaded = formats.load(first)
    second = tmp_path / "converted"
    formats.save(loaded, second, target)
    converted = formats.load(second)
    assert (formats.detect(first), formats.detect(second)) == (source, target)
    assert (loaded.format, converted.format) == (source, target)
    assert_same(loaded, checkpoint)
    assert_same(converted, checkpoint)


@pytest.mark.parametrize("heads", [(6, 6), (6, 3), (6, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("format", formats.FORMATS)
def test_any_grouping_of_heads_survives(tmp_path, format, heads):
    checkpoint = tiny(n_heads=heads[0], n_kv_heads=heads[1])
    assert_same(formats.load(write(checkpoint, tmp_path, format)), checkpoint)


@pytest.mark.parametrize("format", ["llamalab", "huggingface", "gguf", "llama2c-pt"])
def test_every_field_of_the_config_that_a_format_has_survives(tmp_path, format):
    checkpoint = tiny(rope_theta=500000.0, layer_norm_eps=1e-6, hidden_dim=None, dim=96, n_heads=4)
    expected = checkpoint.config
    if format in ("huggingface", "gguf"):  # these store the width itself, 256 for dim 96
        expected = expected | {"hidden_dim": 256}
    assert formats.load(write(checkpoint, tmp_path, format)).config == expected


@pytest.mark.parametrize("format", ["llamalab", "llama2c-pt"])
def test_layernorm_with_its_biases_and_attention_to_both_sides_survive(tmp_path, format):
    checkpoint = tiny(norm="layernorm", causal=False, dropout=0.25, course="mmia")
    assert "layers.2.ffn_norm.bias" in checkpoint.weights and "norm.bias" in checkpoint.weights
    assert_same(formats.load(write(checkpoint, tmp_path, format)), checkpoint)


@pytest.mark.parametrize("format", ["huggingface", "gguf", "llama2c-bin"])
@pytest.mark.parametrize("fields", [dict(norm="layernorm"), dict(causal=False)], ids=str)
def test_formats_without_a_place_for_a_model_refuse_it(tmp_path, format, fields):
    (field,) = fields
    with pytest.raises(formats.FormatError, match=f"has no place for {field}"):
        write(tiny(**fields), tmp_path, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field, value", [("rope_theta", 5e5), ("layer_norm_eps", 1e-6)])
def test_a_bin_file_refuses_what_llama2c_fixes(tmp_path, field, value):
    with pytest.raises(formats.FormatError, match=f"has no place for {field} {value}"):
        write(tiny(**{field: value}), tmp_path, "llama2c-bin")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("format", ["llamalab", "huggingface", "gguf", "llama2c-pt"])
def test_half_precision_is_stored_as_such_and_read_as_asked(tmp_path, format, dtype):
    checkpoint = tiny()
    checkpoint.weights = {name: weight.to(dtype) for name, weight in checkpoint.weights.items()}
    path = write(checkpoint, tmp_path, format)
    stored = formats.load(path, dtype=None).weights
    kept = {name for name, weight in stored.items() if weight.dtype == dtype}
    assert kept >= {name for name, weight in stored.items() if weight.ndim == 2}
    for asked in (torch.float32, torch.float16, torch.bfloat16):
        weights = formats.load(path, asked).weights
        assert all(
            torch.equal(weights[name], weight.to(asked)) for name, weight in checkpoint.weights.items()
        )
        assert {weight.dtype for weight in weights.values()} == {asked}


@pytest.mark.parametrize("format", formats.FORMATS)
def test_a_tied_output_is_one_tensor_in_memory_and_counted_once(tmp_path, format):
    path = write(tiny(), tmp_path, format)
    weights = formats.load(path).weights
    assert weights["output.weight"] is weights["tok_embeddings.weight"]
    distinct = sum(weight.numel() for name, weight in weights.items() if name != "output.weight")
    assert formats.inspect(path)["parameters"] == distinct


@pytest.mark.parametrize("format", formats.FORMATS)
def test_the_weights_are_those_that_the_model_has(tmp_path, format):
    checkpoint = formats.load(write(tiny(tie_embeddings=False), tmp_path, format))
    model = Llama(LlamaConfig(**checkpoint.config))
    model.load_state_dict(checkpoint.weights, strict=True)


def test_the_defaults_are_those_of_the_model():
    assert {key: vars(LlamaConfig())[key] for key in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize("format", formats.FORMATS)
def test_inspect_names_every_tensor_as_it_is_stored(tmp_path, format):
    found = formats.inspect(write(tiny(), tmp_path, format))
    assert found["format"] == format and found["config"]["n_kv_heads"] == 2
    assert len(found["tensors"]) == 3 * 9 + 2
    first = next(tensor for tensor in found["tensors"] if "emb" in tensor["name"])
    assert first["shape"] == [67, 48] and first["dtype"] == "F32"
    assert found["tokenizer"] is None and found["chat_template"] is False


@pytest.mark.parametrize(
    "name, format",
    [
        ("m.gguf", "gguf"),
        ("m.bin", "llama2c-bin"),
        ("m.pt", "llama2c-pt"),
        ("m", "llamalab"),
        ("m.v2", "llamalab"),
    ],
)
def test_the_suffix_names_the_format_to_write(tmp_path, name, format):
    formats.save(tiny(), tmp_path / name)
    assert formats.detect(tmp_path / name) == format


@pytest.mark.parametrize("format", formats.FORMATS)
def test_saving_over_the_file_that_was_loaded_leaves_the_loaded_weights_alone(tmp_path, format):
    path = write(tiny(seed=1), tmp_path, format)
    loaded = formats.load(path)
    formats.save(tiny(seed=2), path, format)
    assert_same(loaded, tiny(seed=1))
    assert_same(formats.load(path), tiny(seed=2))


@pytest.mark.parametrize("format", formats.FORMATS)
def test_training_loaded_weights_does_not_write_into_the_file(tmp_path, format):
    path = write(tiny(), tmp_path, format)
    for weight in formats.load(path).weights.values():
        weight.zero_()
    assert_same(formats.load(path), tiny())


@pytest.mark.parametrize("format", formats.FORMATS)
def test_weights_that_do_not_fit_the_config_are_not_written(tmp_path, format):
    path = write(tiny(), tmp_path, format)
    wrong = tiny()
    wrong.weights["layers.1.feed_forward.w2.weight"] = torch.zeros(40, 48)
    with pytest.raises(formats.FormatError, match=r"'layers.1.feed_forward.w2.weight' has shape \[40, 48\]"):
        formats.save(wrong, path, format)
    del wrong.weights["layers.1.feed_forward.w2.weight"]
    with pytest.raises(formats.FormatError, match="'layers.1.feed_forward.w2.weight' is missing"):
        formats.save(wrong, path, format)
    lora = tiny()
    lora.weights["layers.0.lora_A"] = torch.zeros(2, 2)
    with pytest.raises(formats.FormatError, match="'layers.0.lora_A' has no place"):
        formats.save(lora, path, format)
    assert_same(formats.load(path), tiny())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_an_output_that_differs_from_the_embeddings_it_is_tied_to_is_not_dropped(tmp_path):
    checkpoint = tiny()
    checkpoint.weights["output.weight"] = torch.zeros(67, 48)
    with pytest.raises(formats.FormatError, match="output weights differ from the embeddings"):
        formats.save(checkpoint, tmp_path / "m")


@pytest.mark.parametrize("format", ["llamalab", "huggingface"])
def test_a_directory_with_other_files_is_never_replaced(tmp_path, format):
    path = write(tiny(), tmp_path, format)
    (path / "notes.txt").write_text("mine")
    with pytest.raises(formats.FormatError, match="'notes.txt'"):
        formats.save(tiny(seed=2), path, format)
    assert (path / "notes.txt").read_text() == "mine"
    assert_same(formats.load(path), tiny())


def test_a_file_does_not_take_the_place_of_a_directory_nor_the_other_way(tmp_path):
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(formats.FormatError, match="a directory is in the way"):
        formats.save(tiny(), tmp_path / "folder.gguf")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(formats.FormatError, match="a file is in the way"):
        formats.save(tiny(), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("format", formats.FORMATS)
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, format):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(formats.FormatError, match="cannot be written"):
        formats.save(tiny(), tmp_path / "file" / "below", format)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("format", formats.FORMATS)
def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(tmp_path, format):
    path = write(tiny(), tmp_path, format)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))  # no file may grow past 30 kB
    try:
        with pytest.raises(formats.FormatError, match="cannot be written"):
            formats.save(tiny(seed=2), path, format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_same(formats.load(path), tiny())
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(formats.FormatError, match="'onnx' is not a format to write"):
        formats.save(tiny(), tmp_path / "m", "onnx")
