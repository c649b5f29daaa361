"""Checkpoints in and out of files: llama2.c's .pt and .bin, GGUF, Hugging Face directories and our own.

    from llamalab import formats

    checkpoint = formats.load("ckpt/stories42M.pt")       # config, weights, tokenizer
    formats.save(checkpoint, "ckpt/stories42M.gguf")      # the suffix says which format
    formats.inspect("ckpt/stories42M.gguf")["parameters"]

No file is trusted: nothing is unpickled, and what cannot be read raises FormatError with one sentence.
On the command line: python -m llamalab.formats --help
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from llamalab.formats import gguf_file, huggingface, llama2c_bin, llama2c_pt, native
from llamalab.formats.checkpoint import Checkpoint, Contents, FormatError
from llamalab.formats.checks import check_config, check_shapes, drop_tied_output, read_json, reading, regular_file
from llamalab.vocab.tokenizer_files import has_chat_template

__all__ = ["FORMATS", "Checkpoint", "FormatError", "detect", "format_for", "inspect", "load", "save"]

FORMATS = {
    "llamalab": native,
    "huggingface": huggingface,
    "gguf": gguf_file,
    "llama2c-bin": llama2c_bin,
    "llama2c-pt": llama2c_pt,
}
SUFFIXES = {".gguf": "gguf", ".bin": "llama2c-bin", ".pt": "llama2c-pt"}


def detect(path: str | Path) -> str:
    """Return the format of a file or directory, judged by what is in it; raises FormatError for none."""
    path = Path(path)
    with reading(path):
        if path.is_dir():
            return _detect_directory(path)
        with open(regular_file(path), "rb") as file:
            start = file.read(28)
    if not start:
        raise FormatError(f"{path}: the file is empty.")
    if start[:4] == b"GGUF":
        return "gguf"
    if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
        return "llama2c-pt"
    if start[8:10] == b'{"':
        raise FormatError(f"{path}: a safetensors file alone; give its directory, which has the config.json.")
    if llama2c_bin.looks_like(start):
        return "llama2c-bin"
    raise FormatError(f"{path}: not a checkpoint of any known format ({', '.join(FORMATS)}).")


def _detect_directory(path: Path) -> str:
    if not (path / "config.json").is_file():
        raise FormatError(f"{path}: a directory without a config.json is no checkpoint.")
    fields = read_json(path / "config.json")
    if fields.get("format") == native.FORMAT:
        return "llamalab"
    if "model_type" in fields or "architectures" in fields:
        return "huggingface"
    raise FormatError(f"{path / 'config.json'}: has neither 'format' (llamalab) nor 'model_type' (Hugging Face).")


def _open(path: Path) -> tuple[str, Contents]:
    name = detect(path)
    with reading(path):
        return name, FORMATS[name].open_checkpoint(path)


def load(path: str | Path, dtype: torch.dtype | None = torch.float32) -> Checkpoint:
    """Return the checkpoint in a file or directory of any format.

    dtype: of the weights; None keeps the stored one, float32 for quantised weights.
    Raises FormatError when the file is damaged, hostile, or a model that llama.Llama does not build.
    """
    path = Path(path)
    name, contents = _open(path)
    with reading(path):
        weights = contents.read(dtype)
    if contents.config["tie_embeddings"]:
        weights["output.weight"] = weights["tok_embeddings.weight"]
    return Checkpoint(contents.config, weights, name, path, contents.tokenizer)


def save(checkpoint: Checkpoint, path: str | Path, format: str | None = None) -> None:
    """Write a checkpoint; whatever was at `path` is replaced only once the new one is complete.

    format: one of FORMATS; None goes by the suffix (.gguf, .bin, .pt), otherwise a llamalab directory.
    Raises FormatError when weights and config disagree, the format has no place for the model, or `path`
    cannot be written.
    """
    path = Path(path)
    config = check_config(path, checkpoint.config)
    weights = dict(checkpoint.weights)
    if config["tie_embeddings"]:
        drop_tied_output(path, weights)
    stored_names = check_shapes(path, config, {name: tuple(weight.shape) for name, weight in weights.items()})
    ordered = {name: weights[name] for name in stored_names}
    name = format or format_for(path)
    if name not in FORMATS:
        raise FormatError(f"{path}: {name!r} is not a format to write (choose from {', '.join(FORMATS)}).")
    FORMATS[name].save(replace(checkpoint, config=config, weights=ordered), path)


def format_for(path: str | Path) -> str:
    """Return the format that a path's suffix asks for when it is written."""
    return SUFFIXES.get(Path(path).suffix.lower(), "llamalab")


def inspect(path: str | Path) -> dict[str, Any]:
    """Return what a checkpoint is, without reading its weights.

    Keys: path, format, config, parameters (tied ones once), tensors (list of name, shape, dtype as stored),
    tokenizer (path or None), chat_template (bool). Raises FormatError as load does.
    """
    name, contents = _open(Path(path))
    return {
        "path": str(path),
        "format": name,
        "config": contents.config,
        "parameters": contents.parameters(),
        "tensors": [
            {"name": name, "shape": list(shape), "dtype": dtype} for name, (shape, dtype) in contents.tensors.items()
        ],
        "tokenizer": str(contents.tokenizer) if contents.tokenizer else None,
        "chat_template": has_chat_template(contents.tokenizer),
    }
