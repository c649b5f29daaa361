"""llama2.c's .pt checkpoints and those of the courses built on it: {"model_args": {...}, "model": {...}}.

A .pt file is a zip archive with a pickle, and a pickle can run any code. So the pickle is first read as a
list of instructions: one that names anything but tensors is refused by name, and the rest is left to torch's
own loader for weights only.
"""

import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from llamalab.formats.checkpoint import DEFAULTS, Checkpoint, Contents, FormatError, spelling
from llamalab.formats.checks import check_config, check_shapes, drop_tied_output, reason, show
from llamalab.formats.writing import atomic_file
from llamalab.vocab.tokenizer_files import find_beside

# Files have either these names of the attention weights, llama2.c's own, or those of the courses, which are ours.
SPELL = spelling(2, "layers.")
# llama2.c's model_args; any other key is written only where it differs from the default.
LLAMA2C_ARGUMENTS = {
    "dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "hidden_dim", "multiple_of", "max_seq_len",
    "dropout",
}  # fmt: skip
COMPILED_PREFIX = "_orig_mod."
BUFFERS = ("freqs_cos", "freqs_sin", "rope.freqs", ".attention.mask")
FLOATS = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}

STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
HARMLESS = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    "torch.device",
    *(f"torch.{name}Storage" for name in STORAGES),
    *(str(dtype) for dtype in (*FLOATS, torch.int64, torch.int32, torch.uint8, torch.bool)),
}
MAX_PICKLE_BYTES = 1 << 24


def open_checkpoint(path: Path) -> Contents:
    """Map a .pt file into memory and check what it holds; raises FormatError and runs nothing in it."""
    checkpoint = _load(path)
    arguments = checkpoint.get("model_args") if isinstance(checkpoint, dict) else None
    state = checkpoint.get("model") if isinstance(checkpoint, dict) else None
    if not isinstance(arguments, dict) or not isinstance(state, dict):
        raise FormatError(f"{path}: holds no 'model_args' and 'model', so it is not a llama2.c checkpoint.")
    tensors = _tensors(path, state)
    config = read_config(path, arguments, tensors)
    spell = SPELL if any(".attention.wq." in name for name in tensors) else str
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    ignored = {"output.weight"} if config["tie_embeddings"] else set()
    stored_names = check_shapes(path, config, shapes, spell, ignored)
    stored = {name: (shapes[name], FLOATS[tensors[name].dtype]) for name in stored_names.values()}
    read = partial(read_weights, path, config, tensors, stored_names)
    return Contents(config, stored, read, find_beside(path, config["vocab_size"]))


def read_config(path: Path, arguments: dict[Any, Any], tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return the model's config from model_args, and from the tensors where that is silent."""
    plain = (bool, int, float, str, type(None))
    found = {key: value for key, value in arguments.items() if isinstance(key, str) and isinstance(value, plain)}
    if "norm_eps" in found:
        found.setdefault("layer_norm_eps", found.pop("norm_eps"))
    for key in ("dim", "n_layers", "n_heads", "vocab_size"):
        if key not in found:
            raise FormatError(f"{path}: model_args has no {key!r}.")
    found.setdefault("n_kv_heads", None)
    gate = tensors.get("layers.0.feed_forward.w1.weight")
    if found.get("hidden_dim") is None and "multiple_of" not in found and gate is not None:
        found["hidden_dim"] = len(gate) if gate.ndim else 0
    if "tie_embeddings" not in found:
        found["tie_embeddings"] = _tied(tensors)
    return check_config(path, found)


def _tied(tensors: dict[str, torch.Tensor]) -> bool:
    """Return whether the output is the embedding, as llama2.c decides it: left out, or equal."""
    output, embedding = tensors.get("output.weight"), tensors.get("tok_embeddings.weight")
    if output is None or embedding is None:
        return output is None
    same_memory = output.data_ptr() == embedding.data_ptr() and output.stride() == embedding.stride()
    return output.shape == embedding.shape and (same_memory or torch.equal(output, embedding))


def _tensors(path: Path, state: dict[Any, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors by name, without the prefix that torch.compile adds and without buffers."""
    tensors: dict[str, torch.Tensor] = {}
    for key, tensor in state.items():
        name = key.removeprefix(COMPILED_PREFIX) if isinstance(key, str) else ""
        if not name or name in tensors:
            raise FormatError(f"{path}: the weights have the name {show(key)}, which is no name or appears twice.")
        if name.endswith(BUFFERS):
            continue
        if not isinstance(tensor, torch.Tensor) or tensor.dtype not in FLOATS:
            kind = tensor.dtype if isinstance(tensor, torch.Tensor) else show(tensor)
            raise FormatError(f"{path}: the tensor {name!r} is {kind}, but only plain floats are supported.")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise FormatError(f"{path}: the tensor {name!r} claims more elements than the file stores.")
        tensors[name] = tensor
    # Tensors may lie on each other in the file, as tied ones do; many that did could fill the memory.
    if sum(t.nbytes for t in tensors.values()) > 2 * path.stat().st_size:
        raise FormatError(f"{path}: its tensors claim more bytes than the file stores.")
    return tensors


def read_weights(
    path: Path,
    config: dict[str, Any],
    tensors: dict[str, torch.Tensor],
    stored_names: dict[str, str],
    dtype: torch.dtype | None,
) -> dict[str, torch.Tensor]:
    """Return the weights in `dtype`, or as stored for None."""
    weights = {name: tensors[stored].detach() for name, stored in stored_names.items()}
    if config["tie_embeddings"] and "output.weight" in tensors and not _tied(tensors):
        drop_tied_output(path, weights | {"output.weight": tensors["output.weight"]})
    return {name: weight.to(dtype or weight.dtype).contiguous() for name, weight in weights.items()}


def _load(path: Path) -> Any:
    """Return what torch.load makes of the file, tensors mapped rather than read."""
    _refuse_code(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # damaged files bring out warnings meant for authors
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises many types on a damaged file; all mean the same here
        raise FormatError(f"{path}: torch cannot load it ({reason(error)}).") from error


def _refuse_code(path: Path) -> None:
    """Raise FormatError when the pickle in the file names anything but tensors and plain containers.

    torch's loader for weights only does not go far enough: a bytearray of 1 TB, and tensors without content, are
    among what it makes.
    """
    try:
        for name in _named_objects(_read_pickle(path)):
            if name not in HARMLESS:
                asked = show(name).strip("'")
                raise FormatError(f"{path}: asks to run code on loading ({asked}); it was not opened.")
        if not zipfile.is_zipfile(path):
            raise FormatError(f"{path}: a bare pickle; load it where you trust it and save it again with torch.save.")
    except FormatError:
        raise
    except Exception as error:  # zipfile and pickletools raise many types on damaged bytes
        raise FormatError(f"{path}: a damaged or truncated archive ({reason(error)}).") from error


def _read_pickle(path: Path) -> bytes:
    """Return the pickle in a .pt archive, of which nothing may be compressed, or a pickle that lies bare."""
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            data = file.read(MAX_PICKLE_BYTES)
        if data[:1] != b"\x80":
            raise FormatError(f"{path}: a damaged or truncated archive (its directory is missing).")
        return data
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise FormatError(f"{path}: a compressed archive, which torch.save does not write.")
        found = [entry for entry in entries if entry.filename.split("/")[-1] == "data.pkl"]
        if len(found) != 1 or found[0].file_size > MAX_PICKLE_BYTES:
            raise FormatError(f"{path}: a zip archive, but not one that torch.save wrote.")
        return archive.read(found[0])


def _named_objects(data: bytes) -> Iterator[str]:
    """Yield "module.name" for every object that the instructions of a pickle ask for."""
    strings: list[str] = []  # the last two that were pushed, which STACK_GLOBAL takes for module and name
    memo: list[str | None] = []
    top: str | None = None
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("GLOBAL", "INST"):
            yield argument.replace(" ", ".", 1)
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(strings)
        elif opcode.name.startswith("EXT"):
            yield f"extension {argument}"
        elif opcode.name == "MEMOIZE":
            memo.append(top)
            continue
        top = argument if isinstance(argument, str) else None
        if opcode.name in ("BINGET", "LONG_BINGET") and argument < len(memo):
            top = memo[argument]
        if top is not None:
            strings = [*strings[-1:], top]


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a .pt file in llama2.c's spelling and the checkpoint's own dtype; raises FormatError."""
    config, weights = checkpoint.config, checkpoint.weights
    arguments = {
        ("norm_eps" if key == "layer_norm_eps" else key): value
        for key, value in config.items()
        if key in LLAMA2C_ARGUMENTS or key == "layer_norm_eps" or value != DEFAULTS.get(key)
    }
    # A copy of each, because torch.save stores the whole memory that a view looks at.
    state = {SPELL(name): weight.detach().cpu().clone() for name, weight in weights.items()}
    if config["tie_embeddings"]:
        state["output.weight"] = state["tok_embeddings.weight"]
    with atomic_file(path) as file:
        try:
            torch.save({"model_args": arguments, "model": state}, file)
        except RuntimeError as error:
            raise FormatError(f"{path}: cannot be written ({reason(error)}).") from error
