"""Reading and writing safetensors files: names, shapes and types first, weights when asked for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from llamalab.formats.checkpoint import FormatError, Shape
from llamalab.formats.checks import reason, regular_file

FLOATS = ("F64", "F32", "F16", "BF16")


def read_specs(path: Path) -> dict[str, tuple[Shape, str]]:
    """Return {tensor name: (shape, type)} of one file; raises FormatError, also for types that are not
    plain floats."""
    specs = {}
    with _opened(path) as file:
        for name in file.keys():
            part = file.get_slice(name)
            specs[name] = tuple(part.get_shape()), part.get_dtype()
    for name, (_, kind) in specs.items():
        if kind not in FLOATS:
            raise FormatError(
                f"{path}: the tensor {name!r} has type {kind}, but only {', '.join(FLOATS)} are supported."
            )
    return specs


def read_tensors(path: Path, names: Mapping[str, str], dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
    """Return {our name: tensor} for names = {our name: stored name}, in `dtype` or as stored for None."""
    with _opened(path) as file:
        weights = {name: file.get_tensor(stored) for name, stored in names.items()}
    return {name: weight.to(dtype or weight.dtype) for name, weight in weights.items()}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    regular_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise FormatError(f"{path}: not a readable safetensors file ({reason(error)}).") from error
