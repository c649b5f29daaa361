"""This project's own checkpoints: a directory of model.safetensors, config.json and the tokenizer.

config.json: {"format": "llamalab", "version": 1, "config": {keyword arguments of LlamaConfig},
"tokenizer": a file name in the directory, or null}. Weights are named as llama.Llama names them; a tied
output is not stored.
"""

from functools import partial
from pathlib import Path
from typing import Any

from llamalab.files import write_tensors
from llamalab.formats.checkpoint import Checkpoint, Contents, FormatError
from llamalab.formats.checks import check_config, check_shapes, plain_name, read_json, regular_file, show
from llamalab.formats.safetensors_files import read_specs, read_tensors
from llamalab.formats.writing import atomic_directory
from llamalab.vocab.tokenizer_files import copy_tokenizer, write_json

FORMAT, VERSION = "llamalab", 1


def open_checkpoint(path: Path) -> Contents:
    """Read config.json and the header of model.safetensors, and check them; raises FormatError."""
    config_path, weights_path = path / "config.json", path / "model.safetensors"
    fields = read_json(config_path)
    if type(fields.get("version")) is not int or fields["version"] != VERSION:
        raise FormatError(f"{config_path}: version {show(fields.get('version'))} is not supported (only {VERSION}).")
    if not isinstance(fields.get("config"), dict):
        raise FormatError(f"{config_path}: the field 'config' is missing.")
    config = check_config(config_path, fields["config"])
    specs = read_specs(weights_path)
    stored_names = check_shapes(weights_path, config, {name: shape for name, (shape, _) in specs.items()})
    tensors = {name: specs[name] for name in stored_names}
    return Contents(config, tensors, partial(read_tensors, weights_path, stored_names), _tokenizer(config_path, fields))


def _tokenizer(config_path: Path, fields: dict[str, Any]) -> Path | None:
    name = fields.get("tokenizer")
    if name is None:
        return None
    return regular_file(config_path.parent / plain_name(config_path, "tokenizer", name))


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write the directory in the checkpoint's own dtype; raises FormatError, also for foreign files in it."""
    with atomic_directory(path) as directory:
        write_tensors(directory / "model.safetensors", checkpoint.weights, {"format": FORMAT})
        fields = {
            "format": FORMAT,
            "version": VERSION,
            "config": checkpoint.config,
            "tokenizer": copy_tokenizer(checkpoint.tokenizer, directory),
        }
        write_json(directory / "config.json", fields)
