"""Hugging Face directories, with transformers as the judge of what they mean."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from llamalab import formats
from llamalab.formats.huggingface import to_halves, to_interleaved
from tests.unit.test_formats_round_trips import assert_same, tiny

transformers = pytest.importorskip("transformers")
from tests.oracle import our_weights, random_pair  # noqa: E402  (needs transformers)


@pytest.fixture
def saved(tmp_path) -> Path:
    """A small directory that can be spoilt one field at a time."""
    formats.save(tiny(), tmp_path / "hf", "huggingface")
    return tmp_path / "hf"


def edit(directory: Path, **fields) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | fields))


@pytest.mark.parametrize("shards", [False, True], ids=["whole", "sharded"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_directory_that_transformers_saved_gives_the_same_logits(tmp_path, tied, shards):
    theirs, _ = random_pair(theta=5e4, tied=tied)
    theirs.float().save_pretrained(tmp_path, max_shard_size="60KB" if shards else "1GB")
    assert (tmp_path / "model.safetensors.index.json").exists() == shards
    checkpoint = formats.load(tmp_path)
    assert checkpoint.config["rope_theta"] == 5e4 and checkpoint.config["tie_embeddings"] is tied
    for name, weight in our_weights(theirs).items():
        assert torch.equal(checkpoint.weights[name], weight), name

    from config import LlamaConfig
    from llama import Llama

    ours = Llama.from_weights(LlamaConfig(**checkpoint.config), checkpoint.weights)
    tokens = torch.randint(97, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, _ = ours(tokens, targets=tokens)
        torch.testing.assert_close(logits, theirs(tokens).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_transformers_loads_what_we_save(tmp_path, tied):
    checkpoint = tiny(tie_embeddings=tied, rope_theta=5e4, layer_norm_eps=1e-6)
    formats.save(checkpoint, tmp_path / "hf", "huggingface")
    theirs, report = transformers.LlamaForCausalLM.from_pretrained(
        tmp_path / "hf", local_files_only=True, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, weight in our_weights(theirs).items():
        assert torch.equal(checkpoint.weights[name], weight), name
    assert theirs.config.rope_parameters == {"rope_theta": 5e4, "rope_type": "default"}
    assert theirs.config.rms_norm_eps == 1e-6 and theirs.config.max_position_embeddings == 24
    assert theirs.config.tie_word_embeddings is tied


def test_rows_change_places_within_each_head_and_back():
    rows = torch.arange(8.0)[:, None]
    assert to_interleaved(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert torch.equal(to_halves(to_interleaved(rows, 2), 2), rows)


def test_older_directories_have_theta_at_the_top_and_their_heads_implied(saved):
    edit(saved, rope_theta=1e6, rope_scaling=None, pretraining_tp=1, num_key_value_heads=2)
    assert formats.load(saved).config["rope_theta"] == 1e6
    config = json.loads((saved / "config.json").read_text())
    for field in ("rope_theta", "tie_word_embeddings", "num_key_value_heads"):
        config.pop(field)
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(formats.FormatError, match=r"k_proj.weight' has shape \[16, 48\].*\[48, 48\]"):
        formats.load(saved)  # no num_key_value_heads: as many as heads


@pytest.mark.parametrize(
    "field, value, named",
    [
        ("model_type", "qwen3", "'qwen3'"),
        ("architectures", ["LlamaForSequenceClassification"], "'LlamaForSequenceClassification'"),
        ("attention_bias", True, "attention_bias is True"),
        ("mlp_bias", True, "mlp_bias is True"),
        ("hidden_act", "gelu", "hidden_act is 'gelu'"),
        ("sliding_window", 4096, "sliding_window is 4096"),
        ("head_dim", 16, "head_dim is 16"),
        ("rope_scaling", {"type": "linear", "factor": 2.0}, "rope_scaling has type 'linear'"),
        ("rope_parameters", {"rope_type": "llama3", "rope_theta": 5e5}, "rope_parameters has type 'llama3'"),
        ("quantization_config", {"quant_method": "gptq"}, "quantization_config is a dict"),
        ("num_attention_heads", 5, "dim is 48"),
        ("num_attention_heads", None, "n_heads is None"),
        ("num_key_value_heads", 4, "n_heads is 6"),
        ("hidden_size", 2**200, "dim is an enormous number"),
        ("rms_norm_eps", "small", "layer_norm_eps is 'small'"),
        ("rms_norm_eps", float("nan"), "layer_norm_eps is nan"),
        ("rope_theta", -1, "rope_theta is -1"),
        ("tie_word_embeddings", "yes", "tie_embeddings is 'yes'"),
        ("vocab_size", 66, "embed_tokens.weight' has shape"),
        ("num_hidden_layers", 4, "'model.layers.3.self_attn.q_proj.weight' is missing"),
        ("num_hidden_layers", 2, "'model.layers.2.* has no place"),
        ("num_hidden_layers", 2**31 - 1, "'model.layers.3.self_attn.q_proj.weight' is missing"),
    ],
)
def test_what_the_model_cannot_express_is_refused_by_name_and_value(saved, field, value, named):
    edit(saved, **{field: value})
    with pytest.raises(formats.FormatError, match=named):
        formats.load(saved)


def test_a_missing_field_is_named(saved):
    config = json.loads((saved / "config.json").read_text())
    del config["rms_norm_eps"]
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(formats.FormatError, match="field 'rms_norm_eps' is missing"):
        formats.load(saved)


def test_a_stored_output_must_equal_the_embeddings_it_is_tied_to(tmp_path):
    formats.save(tiny(tie_embeddings=False), tmp_path / "hf", "huggingface")
    edit(tmp_path / "hf", tie_word_embeddings=True)
    with pytest.raises(formats.FormatError, match="output weights differ from the embeddings"):
        formats.load(tmp_path / "hf")


def test_a_pickle_instead_of_safetensors_is_refused_with_the_remedy(saved):
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(formats.FormatError, match="pytorch_model.bin is a pickle.*save_pretrained"):
        formats.load(saved)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b", "..", "", "x\\y", 3, None])
def test_an_index_cannot_point_out_of_its_folder(saved, name):
    (saved / "model.safetensors").rename(saved.parent / "secret.safetensors")
    index = {"weight_map": {"model.embed_tokens.weight": name}}
    (saved / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(formats.FormatError, match="not a plain file name"):
        formats.load(saved)


def test_an_index_that_names_the_wrong_or_a_missing_shard_is_refused(saved):
    weights = saved / "model-1.safetensors"
    (saved / "model.safetensors").rename(weights)
    names = [tensor["name"] for tensor in formats.inspect(_copy(saved, weights))["tensors"]]
    index = dict.fromkeys(names, "model-1.safetensors")
    for change, reason in [
        ({"model.norm.weight": "model-2.safetensors"}, "model-2.safetensors: no such file"),
        ({"model.norm.weight": "config.json"}, "config.json: not a readable safetensors file"),
    ]:
        (saved / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index | change}))
        with pytest.raises(formats.FormatError, match=reason):
            formats.load(saved)
    (saved / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert_same(formats.load(saved), tiny())


def _copy(directory: Path, weights: Path) -> Path:
    copy = directory.parent / "copy"
    copy.mkdir()
    shutil.copy(directory / "config.json", copy)
    shutil.copy(weights, copy / "model.safetensors")
    return copy


def test_a_pipe_in_place_of_a_file_does_not_block(saved):
    (saved / "model.safetensors").unlink()
    os.mkfifo(saved / "model.safetensors")
    with pytest.raises(formats.FormatError, match="neither model.safetensors"):
        formats.load(saved)


def test_the_tokenizer_and_the_files_that_explain_it_travel_along(tmp_path, saved):
    (saved / "tokenizer.json").write_text("{}")
    (saved / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    (saved / "generation_config.json").write_text(json.dumps({"eos_token_id": 7}))
    checkpoint = formats.load(saved)
    assert checkpoint.tokenizer == saved / "tokenizer.json"
    formats.save(checkpoint, tmp_path / "native")
    formats.save(formats.load(tmp_path / "native"), tmp_path / "back", "huggingface")
    for copy in ("native", "back"):
        assert formats.load(tmp_path / copy).tokenizer == tmp_path / copy / "tokenizer.json"
        assert formats.inspect(tmp_path / copy)["chat_template"] is True
    assert json.loads((tmp_path / "back" / "config.json").read_text())["eos_token_id"] == 7
