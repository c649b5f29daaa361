"""llama2.c's .bin checkpoints: a few numbers, then the weights in a fixed order, little endian.

    version 0   dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, max_seq_len as i32 (a negative
                vocab_size: the output is not tied), then everything in float32
    version 1   "24ka", version, the same seven numbers, one byte "tied", zeros up to 256 bytes, float32
    version 2   as 1 with an i32 group size after the byte; matrices as int8, each followed by one float32
                scale a group; the norms, in float32, come first

The format fixes the epsilon of the norms (1e-5) and RoPE's theta (10000). https://github.com/karpathy/llama2.c
"""

import struct
from collections.abc import Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from llamalab.formats.checkpoint import (
    DEFAULTS,
    Checkpoint,
    Contents,
    FormatError,
    Shape,
    feed_forward_dim,
    layer_shapes,
)
from llamalab.formats.checks import check_config, refuse_unless
from llamalab.formats.writing import atomic_file
from llamalab.vocab.tokenizer_files import find_beside

MAGIC = b"24ka"
HEADER_BYTES = 256  # of versions 1 and 2
NUMBERS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
FIXED = {"norm": "rmsnorm", "causal": True, "rope_theta": 10000.0, "layer_norm_eps": 1e-5}

NORMS = ("attention_norm.weight", "ffn_norm.weight")
ATTENTION = tuple(f"attention.compute_{part}.weight" for part in ("query", "key", "value", "output"))
FEED_FORWARD = tuple(f"feed_forward.{part}.weight" for part in ("w1", "w2", "w3"))
# In the file each of these comes for all layers in turn, and the top ones once; "rope" are two tables of
# cosines and sines that only version 0 has.
ORDER = {
    0: (
        "tok_embeddings.weight", NORMS[0], *ATTENTION, NORMS[1], *FEED_FORWARD, "norm.weight", "rope",
        "output.weight",
    ),
    1: (*NORMS, "norm.weight", "tok_embeddings.weight", *ATTENTION, *FEED_FORWARD, "output.weight"),
}  # fmt: skip
ORDER[2] = ORDER[1]


def looks_like(start: bytes) -> bool:
    """Return whether the first 28 bytes of a file are a llama2.c header."""
    if start[:4] == MAGIC:
        return True
    if len(start) < 28:
        return False
    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, max_seq_len = struct.unpack("<7i", start[:28])
    return (
        0 < n_kv_heads <= n_heads <= dim <= 1 << 17
        and dim % n_heads == 0
        and 0 < hidden_dim <= 1 << 20
        and 0 < n_layers <= 1 << 12
        and 0 < abs(vocab_size) <= 1 << 24
        and 0 < max_seq_len <= 1 << 24
    )


def open_checkpoint(path: Path) -> Contents:
    """Read the header of a .bin file and check it against the file's size; raises FormatError."""
    with open(path, "rb") as file:
        start = file.read(HEADER_BYTES)
    size = path.stat().st_size
    version, config, group = _read_header(path, start)
    wanted = _file_bytes(version, config, group)
    if size != wanted:
        reason = "truncated; fetch it again" if size < wanted else "not a llama2.c file, or another version"
        raise FormatError(f"{path}: has {size} bytes, but its header asks for {wanted} ({reason}).")
    tensors = {
        name: (shape, "I8" if _quantised(name, version) else "F32")
        for name, shape in _layout(version, config)
        if name != "rope"
    }
    read = partial(read_weights, path, version, config, group)
    return Contents(config, tensors, read, find_beside(path, config["vocab_size"]))


def _read_header(path: Path, start: bytes) -> tuple[int, dict[str, Any], int]:
    """Return (version, config, group size; 0 where nothing is quantised)."""
    version, group = 0, 0
    if start[:4] == MAGIC:
        if len(start) < HEADER_BYTES:
            raise FormatError(f"{path}: the file ends inside the header (truncated at {len(start)} bytes).")
        version, *numbers, tied, group = struct.unpack_from("<8iBi", start, 4)
        if version not in (1, 2):
            raise FormatError(f"{path}: llama2.c version {version} is not supported (only 0, 1 and 2).")
        group = group if version == 2 else 0
    else:
        if len(start) < 28:
            raise FormatError(f"{path}: the file ends inside the header (truncated at {len(start)} bytes).")
        numbers = list(struct.unpack_from("<7i", start))
        tied = numbers[5] > 0
        numbers[5] = abs(numbers[5])
    found = dict(zip(NUMBERS, numbers, strict=True)) | {"tie_embeddings": bool(tied)}
    config = check_config(path, found)
    if version == 2 and (group <= 0 or any(prod(s) % group for n, s, _ in _parts(2, config) if _quantised(n, 2))):
        raise FormatError(f"{path}: the group size {group} does not divide the weights.")
    return version, config, group


def _parts(version: int, config: dict[str, Any]) -> list[tuple[str, Shape, int]]:
    """Return (name with a place for a layer's number, shape, how many) of every kind of tensor, in the file's order."""
    vocabulary = (config["vocab_size"], config["dim"])
    rope = (2, config["max_seq_len"], config["dim"] // config["n_heads"] // 2)
    top = {"tok_embeddings.weight": vocabulary, "norm.weight": (config["dim"],), "rope": rope}
    if not config["tie_embeddings"]:
        top["output.weight"] = vocabulary
    layer = layer_shapes(config)
    kinds = {part: (part, shape, 1) for part, shape in top.items()}
    kinds |= {part: (f"layers.{{}}.{part}", shape, config["n_layers"]) for part, shape in layer.items()}
    return [kinds[part] for part in ORDER[version] if part in kinds]


def _layout(version: int, config: dict[str, Any]) -> Iterator[tuple[str, Shape]]:
    """Yield (name in llama.Llama, or "rope" for its tables, shape) in the order of the file."""
    for name, shape, copies in _parts(version, config):
        for number in range(copies):
            yield name.format(number), shape


def _file_bytes(version: int, config: dict[str, Any], group: int) -> int:
    """Return how long the file must be; without a loop over layers, whose number may be a lie."""
    total = HEADER_BYTES if version else 28
    for name, shape, copies in _parts(version, config):
        numbers = prod(shape)
        total += copies * (numbers + numbers // group * 4 if _quantised(name, version) else numbers * 4)
    return total


def _quantised(name: str, version: int) -> bool:
    """Return whether a tensor is stored as int8: in version 2 the matrices, not the norms."""
    return version == 2 and "norm" not in name and name != "rope"


def read_weights(
    path: Path, version: int, config: dict[str, Any], group: int, dtype: torch.dtype | None
) -> dict[str, torch.Tensor]:
    """Return the weights in `dtype`, float32 for None."""
    weights = {}
    with open(path, "rb") as file:
        file.seek(HEADER_BYTES if version else 28)
        for name, shape in _layout(version, config):
            if name == "rope":
                file.seek(prod(shape) * 4, 1)
                continue
            if _quantised(name, version):
                numbers = _array(path, file, np.dtype("<i1"), prod(shape)).reshape(-1, group)
                scales = _array(path, file, np.dtype("<f4"), prod(shape) // group)
                weight = torch.from_numpy(numbers).float().mul_(torch.from_numpy(scales)[:, None])
            else:
                weight = torch.from_numpy(_array(path, file, np.dtype("<f4"), prod(shape)))
            weights[name] = weight.view(shape).to(dtype or torch.float32)
    return weights


def _array(path: Path, file: BinaryIO, dtype: np.dtype, count: int) -> np.ndarray:
    array = np.fromfile(file, dtype, count)
    if len(array) != count:
        raise FormatError(f"{path}: the file became shorter while it was read.")
    return array


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a version 0 file, which every llama2.c reads, in float32; raises FormatError when the format has
    no place for the model."""
    config = checkpoint.config
    refuse_unless(path, "a llama2.c .bin", config, FIXED)
    numbers = config | {"hidden_dim": feed_forward_dim(config)}
    if not config["tie_embeddings"]:
        numbers["vocab_size"] = -config["vocab_size"]
    with atomic_file(path) as file:
        file.write(struct.pack("<7i", *(numbers[name] for name in NUMBERS)))
        for name, _ in _layout(0, config):
            table = _rope_tables(config) if name == "rope" else checkpoint.weights[name]
            file.write(table.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes())


def _rope_tables(config: dict[str, Any]) -> torch.Tensor:
    """Return cosines and sines of every position and pair: (2, max_seq_len, D / 2)."""
    head_dim = config["dim"] // config["n_heads"]
    frequencies = DEFAULTS["rope_theta"] ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.outer(torch.arange(config["max_seq_len"], dtype=torch.float64), frequencies)
    return torch.stack([angles.cos(), angles.sin()])
