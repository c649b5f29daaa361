"""Hugging Face directories of Llama models: config.json and model.safetensors, whole or in shards.

Hugging Face rotates channel i of a head together with channel i + D/2; llama.Llama, as llama2.c, rotates 2i
with 2i + 1. So the rows of query and key weights change places on the way in and back on the way out.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from llamalab.files import write_tensors
from llamalab.formats import checks
from llamalab.formats.checkpoint import Checkpoint, Contents, FormatError, feed_forward_dim, spelling
from llamalab.formats.safetensors_files import read_specs, read_tensors
from llamalab.formats.writing import atomic_directory
from llamalab.vocab.tokenizer_files import copy_tokenizer, find_in, token_ids, write_json

SPELL = spelling(0, "model.layers.")

# config key -> field of config.json, which must be there
FIELDS = {
    "vocab_size": "vocab_size",
    "dim": "hidden_size",
    "hidden_dim": "intermediate_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "max_seq_len": "max_position_embeddings",
    "layer_norm_eps": "rms_norm_eps",
}

# field -> the values that give the model we build; a field left out has the first one
PLAIN_VALUES: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "sliding_window": (None,),
    "use_sliding_window": (False, None),
    "partial_rotary_factor": (1.0, None),
    "quantization_config": (None,),
}


def open_checkpoint(path: Path) -> Contents:
    """Read config.json and the headers of the safetensors files, and check them; raises FormatError."""
    config = read_config(path / "config.json")
    files = _files(path)
    specs = {}
    for file in set(files.values()):
        specs |= {name: spec for name, spec in read_specs(file).items() if files.get(name) == file}
    ignored = {name for name in specs if name.endswith(".rotary_emb.inv_freq")}
    if config["tie_embeddings"]:
        ignored.add("lm_head.weight")
    shapes = {name: shape for name, (shape, _) in specs.items()}
    stored_names = checks.check_shapes(path, config, shapes, SPELL, ignored)
    tensors = {name: specs[name] for name in stored_names.values()}
    return Contents(config, tensors, partial(read_weights, path, config, files, stored_names), find_in(path))


def read_config(path: Path) -> dict[str, Any]:
    """Return the model's config from a config.json; raises FormatError naming what we do not build."""
    fields = checks.read_json(path)
    checks.refuse_other_values(path, {"model_type": None} | fields, {"model_type": ("llama",)})
    architectures = fields.get("architectures") or ["LlamaForCausalLM"]
    if architectures != ["LlamaForCausalLM"]:
        first = architectures[0] if isinstance(architectures, list) else architectures
        raise FormatError(f"{path}: architectures is {checks.show(first)}, but only 'LlamaForCausalLM' is supported.")
    checks.refuse_other_values(path, fields, PLAIN_VALUES)
    found = {}
    for ours, field in FIELDS.items():
        if field not in fields:
            raise FormatError(f"{path}: the field {field!r} is missing.")
        found[ours] = fields[field]
    found["n_kv_heads"] = fields.get("num_key_value_heads")
    found["rope_theta"] = _rope_theta(path, fields)
    found["tie_embeddings"] = fields.get("tie_word_embeddings", False)
    config = checks.check_config(path, found)
    head_dim = config["dim"] // config["n_heads"]
    checks.refuse_other_values(path, fields, {"head_dim": (head_dim, None)})
    return config


def _rope_theta(path: Path, fields: dict[str, Any]) -> Any:
    """Return RoPE's theta, from the top level or from rope_parameters; refuses scaled RoPE."""
    theta = fields.get("rope_theta", 10000.0)
    for field in ("rope_scaling", "rope_parameters"):
        rope = fields.get(field)
        if rope is None:
            continue
        if not isinstance(rope, dict):
            raise FormatError(f"{path}: {field} is {checks.show(rope)}, but only null or an object is supported.")
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise FormatError(f"{path}: {field} has type {checks.show(kind)}, which is not supported (only 'default').")
        if rope.get("partial_rotary_factor") not in (None, 1.0):
            raise FormatError(f"{path}: {field} rotates only some channels, which is not supported.")
        theta = rope.get("rope_theta", theta)
    return theta


def _files(path: Path) -> dict[str, Path]:
    """Return {stored name: the safetensors file that holds it}."""
    whole = path / "model.safetensors"
    if whole.is_file():
        return dict.fromkeys(read_specs(whole), whole)
    index = path / "model.safetensors.index.json"
    if not index.is_file():
        pickles = sorted(file.name for file in path.glob("pytorch_model*.bin"))
        if pickles:
            raise FormatError(
                f"{path}: {pickles[0]} is a pickle, which is not opened; save the model again with "
                "transformers' save_pretrained, which writes safetensors."
            )
        raise FormatError(f"{path}: there is neither model.safetensors nor model.safetensors.index.json.")
    weight_map = checks.read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise FormatError(f"{index}: the field 'weight_map' is missing.")
    return {name: path / checks.plain_name(index, "weight_map", file) for name, file in weight_map.items()}


def read_weights(
    path: Path,
    config: dict[str, Any],
    files: dict[str, Path],
    stored_names: dict[str, str],
    dtype: torch.dtype | None,
) -> dict[str, torch.Tensor]:
    """Return the weights with query and key rows in interleaved order."""
    wanted = dict(stored_names)
    if config["tie_embeddings"] and "lm_head.weight" in files:
        wanted["output.weight"] = "lm_head.weight"
    weights: dict[str, torch.Tensor] = {}
    for file in set(files.values()):
        here = {ours: name for ours, name in wanted.items() if files[name] == file}
        weights |= read_tensors(file, here, dtype)
    for name, n_heads in _rotated(config):
        weights[name] = to_interleaved(weights[name], n_heads)
    if config["tie_embeddings"]:
        checks.drop_tied_output(path, weights)
    return weights


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a directory that transformers loads as LlamaForCausalLM, in the checkpoint's own dtype.

    Raises FormatError when the format has no place for the model, or `path` holds anything else.
    """
    config = checkpoint.config
    checks.refuse_unless(path, "a Hugging Face Llama", config, {"norm": "rmsnorm", "causal": True})
    weights = dict(checkpoint.weights)
    for name, n_heads in _rotated(config):
        weights[name] = to_halves(weights[name], n_heads)
    with atomic_directory(path) as directory:
        stored = {SPELL(name): weight for name, weight in weights.items()}
        write_tensors(directory / "model.safetensors", stored, {"format": "pt"})
        dtype = str(weights["tok_embeddings.weight"].dtype).removeprefix("torch.")
        fields = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            **{field: config[ours] for ours, field in FIELDS.items()},
            "intermediate_size": feed_forward_dim(config),
            "num_key_value_heads": config["n_kv_heads"],
            "hidden_act": "silu",
            "rope_theta": config["rope_theta"],
            "tie_word_embeddings": config["tie_embeddings"],
            "torch_dtype": dtype,
            **token_ids(checkpoint.tokenizer),
        }
        write_json(directory / "config.json", fields)
        copy_tokenizer(checkpoint.tokenizer, directory)


def to_interleaved(weight: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Reorder rows from pairs (i, i + D/2) to pairs (2i, 2i + 1): (H*D, C) -> (H*D, C).

    One head, D = 4: rows [0, 1, 2, 3] -> rows [0, 2, 1, 3].
    """
    return weight.view(n_heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def to_halves(weight: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Undo to_interleaved: rows from pairs (2i, 2i + 1) to pairs (i, i + D/2)."""
    return weight.reshape(n_heads, -1, 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def _rotated(config: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield (name, heads) of every weight whose output RoPE rotates."""
    for number in range(config["n_layers"]):
        yield f"layers.{number}.attention.compute_query.weight", config["n_heads"]
        yield f"layers.{number}.attention.compute_key.weight", config["n_kv_heads"]
