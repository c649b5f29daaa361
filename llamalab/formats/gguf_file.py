"""GGUF checkpoints of the llama architecture: one file with config, weights (often quantised) and vocabulary.

llama.cpp stores query and key weights for RoPE pairs (2i, 2i+1), as llama.Llama has them, so no weight is
permuted. Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llamalab.formats.checkpoint import Checkpoint, Contents, FormatError, feed_forward_dim, spelling
from llamalab.formats.checks import check_config, check_shapes, refuse_other_values, refuse_unless
from llamalab.formats.gguf_blocks import dequantize
from llamalab.formats.gguf_header import ARRAY, Header, TensorInfo, read_header
from llamalab.formats.writing import atomic_file

SPELL = spelling(1, "blk.")

# config key -> metadata key
FIELDS = {
    "dim": "llama.embedding_length",
    "n_layers": "llama.block_count",
    "n_heads": "llama.attention.head_count",
    "n_kv_heads": "llama.attention.head_count_kv",
    "hidden_dim": "llama.feed_forward_length",
    "max_seq_len": "llama.context_length",
    "layer_norm_eps": "llama.attention.layer_norm_rms_epsilon",
    "rope_theta": "llama.rope.freq_base",
    "vocab_size": "llama.vocab_size",
}
REQUIRED = ("dim", "n_layers", "n_heads", "hidden_dim", "max_seq_len", "layer_norm_eps")

# metadata key -> the values that change nothing; any other value is a model we do not build
PLAIN_VALUES: dict[str, tuple[Any, ...]] = {
    "general.architecture": ("llama",),
    "llama.rope.scaling.type": ("none",),
    "llama.rope.scaling.factor": (0.0, 1.0),
    "llama.rope.scale_linear": (0.0, 1.0),
    "llama.attention.sliding_window": (0,),
    "llama.attention.causal": (True,),
    "llama.expert_count": (0,),
    "llama.logit_scale": (0.0, 1.0),
    "llama.embedding_scale": (0.0, 1.0),
    "llama.residual_scale": (0.0, 1.0),
    "llama.use_parallel_residual": (False,),
    "split.count": (0, 1),
}
HEAD_DIM_KEYS = ("llama.attention.key_length", "llama.attention.value_length", "llama.rope.dimension_count")


def open_checkpoint(path: Path) -> Contents:
    """Read the header of a GGUF file and check it; raises FormatError."""
    header = read_header(path)
    config = read_config(path, header)
    shapes = {name: info.shape for name, info in header.tensors.items()}
    stored_names = check_shapes(path, config, shapes, SPELL)
    tensors = {name: (info.shape, info.type) for name, info in header.tensors.items()}
    read = partial(read_weights, path, {ours: header.tensors[name] for ours, name in stored_names.items()})
    return Contents(config, tensors, read, path if "tokenizer.ggml.tokens" in header.metadata else None)


def read_config(path: Path, header: Header) -> dict[str, Any]:
    """Return the model's config from a GGUF header; raises FormatError naming what we do not build."""
    metadata = header.metadata
    refuse_other_values(path, {"general.architecture": None} | metadata, PLAIN_VALUES)
    found = {ours: metadata[key] for ours, key in FIELDS.items() if key in metadata}
    for ours in REQUIRED:
        if ours not in found:
            raise FormatError(f"{path}: the GGUF key {FIELDS[ours]!r} is missing.")
    found.setdefault("n_kv_heads", None)
    embedding = header.tensors.get("token_embd.weight")
    if embedding is not None:
        found.setdefault("vocab_size", embedding.shape[0])
    for ours in ("layer_norm_eps", "rope_theta"):
        if isinstance(found.get(ours), float):
            with np.errstate(over="ignore"):
                found[ours] = float(str(np.float32(found[ours])))  # 1e-05, not 9.999999747378752e-06
    config = check_config(path, found | {"tie_embeddings": "output.weight" not in header.tensors})
    head_dim = config["dim"] // config["n_heads"]
    refuse_other_values(path, metadata, dict.fromkeys(HEAD_DIM_KEYS, (head_dim,)))
    return config


def read_weights(path: Path, tensors: dict[str, TensorInfo], dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
    """Return the weights in `dtype`; None leaves plain floats as they are and gives float32 for the rest."""
    data = torch.from_numpy(np.memmap(path, np.uint8, mode="c"))  # writing to it would not reach the file

    def read(info: TensorInfo) -> torch.Tensor:
        stored = data[info.offset : info.offset + info.nbytes]
        try:
            weight = dequantize(stored, info.type, info.shape)
        except NotImplementedError as error:
            raise FormatError(f"{path}: the tensor {info.name!r} has type {info.type}, not supported.") from error
        return weight.to(dtype or weight.dtype)

    with _one_thread_per_operation() as threads, ThreadPoolExecutor(min(threads, 8)) as pool:
        return dict(zip(tensors, pool.map(read, tensors.values()), strict=True))


@contextmanager
def _one_thread_per_operation() -> Iterator[int]:
    """Keep torch from splitting single operations over threads; yields how many threads it may use.

    The tensors are small and many: reading several at once is as fast as splitting each, and where other
    programs use the processors too, threads that wait for each other thousands of times take 20 times longer.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as GGUF in its own dtype, norms in float32, with the vocabulary of a GGUF source.

    Raises FormatError when the format has no place for the model.
    """
    import gguf  # slow to import and needed only here

    config = checkpoint.config
    refuse_unless(path, "GGUF", config, {"norm": "rmsnorm", "causal": True})
    with atomic_file(path) as file:
        writer = gguf.GGUFWriter(file.name, "llama")
        values = config | {"hidden_dim": feed_forward_dim(config)}
        for ours, key in FIELDS.items():
            add = writer.add_float32 if ours in ("layer_norm_eps", "rope_theta") else writer.add_uint32
            add(key, values[ours])
        writer.add_rope_dimension_count(config["dim"] // config["n_heads"])
        if not _copy_tokenizer_keys(writer, checkpoint.tokenizer):
            writer.add_tokenizer_model("none")
        for name, weight in checkpoint.weights.items():
            _add_tensor(writer, SPELL(name), weight)
        _write(writer)


def save_tokenizer(source: Path, path: Path) -> None:
    """Write a GGUF file that holds nothing but the tokenizer metadata of another one."""
    import gguf

    with atomic_file(path) as file:
        writer = gguf.GGUFWriter(file.name, "llama")
        _copy_tokenizer_keys(writer, source)
        _write(writer)


def is_gguf(path: Path | None) -> bool:
    """Return whether a file begins as a GGUF file does."""
    if path is None or not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"GGUF"


def _copy_tokenizer_keys(writer: Any, source: Path | None) -> bool:
    """Add every tokenizer key of a GGUF source to the writer; returns whether there was a vocabulary."""
    if not is_gguf(source):
        return False
    import gguf

    header = read_header(source)
    for key, value in header.metadata.items():
        if not key.startswith("tokenizer."):
            continue
        kind, item_kind = header.kinds[key]
        if kind == ARRAY:
            if item_kind == ARRAY:
                raise FormatError(f"{source}: the GGUF key {key!r} nests arrays, which cannot be copied.")
            value = list(value) if isinstance(value, list) else value.tolist()
            if not value:
                continue
        sub_type = None if item_kind is None else gguf.GGUFValueType(item_kind)
        writer.add_key_value(key, value, gguf.GGUFValueType(kind), sub_type)
    return "tokenizer.ggml.tokens" in header.metadata


def _add_tensor(writer: Any, name: str, weight: torch.Tensor) -> None:
    import gguf

    weight = weight.detach().cpu().contiguous()
    if weight.ndim == 1 or weight.dtype not in (torch.float16, torch.bfloat16):
        weight = weight.float()
    if weight.dtype == torch.bfloat16:
        kind = gguf.GGMLQuantizationType.BF16
        writer.add_tensor(name, weight.view(torch.uint8).numpy(), raw_dtype=kind)
    else:
        writer.add_tensor(name, weight.numpy())


def _write(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
