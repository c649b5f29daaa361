"""Checks that every format applies to what a file claims, before memory is spent on it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import inf, isclose, nan
from pathlib import Path
from typing import Any

import torch

from llamalab.formats.checkpoint import DEFAULTS, FormatError, Shape, expected_shapes

MAX_JSON_BYTES = 1 << 26
MAX_SEQ_LEN = 1 << 24
MAX_COUNT = (1 << 31) - 1
SIZES = ("vocab_size", "dim", "n_layers", "n_heads", "n_kv_heads", "max_seq_len", "multiple_of")


def show(value: Any) -> str:
    """Return a short text for a value of a foreign file, whatever it holds."""
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() < 128 else "an enormous number"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    return f"a {type(value).__name__}"


def reason(error: Exception) -> str:
    """Return what a library said about a file as a short part of a sentence."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(". ")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the system's errors while a file is read into FormatError."""
    try:
        yield
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except MemoryError as error:
        raise FormatError(f"{path}: does not fit into the memory of this machine.") from error


def regular_file(path: Path) -> Path:
    """Return the path of an existing regular file (never a pipe or a device, which would block); raises
    FormatError."""
    if path.is_file():
        return path
    if path.exists():
        raise FormatError(f"{path}: not a regular file.")
    raise FormatError(f"{path}: no such file.")


def plain_name(path: Path, field: str, name: Any) -> str:
    """Return a file name read from a foreign file, refusing anything that leaves its folder."""
    plain = isinstance(name, str) and name == Path(name).name and not set(name) & {"\\", "\0"}
    if not plain or name in ("", ".."):
        raise FormatError(f"{path}: {field} names {show(name)}, which is not a plain file name in its folder.")
    return name


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a small file; raises FormatError."""
    regular_file(path)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise FormatError(f"{path}: larger than {MAX_JSON_BYTES} bytes, so not read as JSON.")
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise FormatError(f"{path}: not read, its JSON is nested too deeply.") from error
    except ValueError as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: not valid JSON ({reason(error)}).") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path}: holds {show(value)} where a JSON object is expected.")
    return value


def check_config(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config with every key of DEFAULTS, types and ranges checked; unknown keys stay.

    Raises FormatError naming the first field that no model can be built from, and its value.
    """

    full = DEFAULTS | dict(config)
    if full["n_kv_heads"] is None:
        full["n_kv_heads"] = full["n_heads"]
    for key, good, wanted in _rules(full):
        if not good:
            raise FormatError(f"{path}: the config's {key} is {show(full[key])}, but must be {wanted}.")
    return full | {key: float(full[key]) for key in ("layer_norm_eps", "rope_theta", "dropout")}


def _rules(config: Mapping[str, Any]) -> Iterator[tuple[str, bool, str]]:
    """Yield (key, whether it is good, what it must be); a rule may rely on those before it."""
    for key, value in config.items():
        yield key, isinstance(value, (bool, int, float, str, list, dict, type(None))), "a plain value"
    for key in SIZES:
        limit = MAX_SEQ_LEN if key == "max_seq_len" else MAX_COUNT
        yield key, type(config[key]) is int and 1 <= config[key] <= limit, f"a whole number from 1 to {limit}"
    hidden_dim = config["hidden_dim"]
    fits = hidden_dim is None or (type(hidden_dim) is int and 1 <= hidden_dim <= MAX_COUNT)
    yield "hidden_dim", fits, f"null or a whole number from 1 to {MAX_COUNT}"
    for key in ("layer_norm_eps", "rope_theta"):
        yield key, 0 < _number(config[key]) < inf, "a number above 0"
    yield "dropout", 0 <= _number(config["dropout"]) < 1, "a number from 0 up to, but not including, 1"
    for key in ("causal", "tie_embeddings"):
        yield key, isinstance(config[key], bool), "true or false"
    yield "norm", config["norm"] in ("rmsnorm", "layernorm"), "'rmsnorm' or 'layernorm'"
    heads, kv_heads = config["n_heads"], config["n_kv_heads"]
    yield "dim", config["dim"] % (2 * heads) == 0, f"an even number of channels for each of {heads} heads"
    yield "n_heads", heads % kv_heads == 0, f"a multiple of n_kv_heads ({kv_heads})"


def _number(value: Any) -> float:
    """Return a number that a float can hold as float, anything else as NaN, which no range contains."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300:
        return nan
    return float(value)


def check_shapes(
    path: Path,
    config: Mapping[str, Any],
    shapes: Mapping[str, Shape],
    spell: Callable[[str], str] = str,
    ignored: Iterable[str] = (),
) -> dict[str, str]:
    """Check the stored tensors against the config and return {name in llama.Llama: stored name}.

    shapes: stored name -> shape. spell: how the format spells a name of llama.Llama.
    ignored: stored names that mean nothing to the model.
    Raises FormatError naming the first tensor that is missing, has another shape, or is unknown.
    """
    stored_names = {}
    for name, shape in expected_shapes(dict(config)):
        stored = spell(name)
        if stored not in shapes:
            raise FormatError(f"{path}: the tensor {stored!r} is missing.")
        if tuple(shapes[stored]) != shape:
            raise FormatError(
                f"{path}: the tensor {stored!r} has shape {list(shapes[stored])}, "
                f"but the config asks for {list(shape)}."
            )
        stored_names[name] = stored
    unknown = set(shapes) - set(stored_names.values()) - set(ignored)
    if unknown:
        raise FormatError(f"{path}: the tensor {min(unknown)!r} has no place in a Llama model.")
    return stored_names


def drop_tied_output(path: Path, weights: dict[str, torch.Tensor]) -> None:
    """Remove a stored copy of the tied output from the weights; raises FormatError when it is no copy."""
    output = weights.pop("output.weight", None)
    if output is not None and not torch.equal(output, weights["tok_embeddings.weight"]):
        raise FormatError(f"{path}: the output weights differ from the embeddings that the config ties them to.")


def refuse_other_values(path: Path, found: Mapping[str, Any], plain: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise FormatError for a field whose value makes another model than we build.

    plain: field -> the values that change nothing; a field left out has the first one.
    """
    for field, values in plain.items():
        value = found.get(field, values[0])
        if not isinstance(value, (str, int, float, type(None))) or value not in values:
            only = " or ".join(map(show, values))
            raise FormatError(f"{path}: {field} is {show(value)}, which is not supported (only {only}).")


def refuse_unless(path: Path, format_name: str, config: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise FormatError when the config has a value that the format to be written has no field for."""
    for key, value in wanted.items():
        same = isclose(config[key], value, rel_tol=1e-6) if isinstance(value, float) else config[key] == value
        if not same:
            raise FormatError(
                f"{path}: {format_name} has no place for {key} {show(config[key])} (only {show(value)}); "
                "convert to a llamalab directory instead."
            )
