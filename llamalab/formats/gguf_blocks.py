"""From the bytes of a GGUF tensor to float32, one block format at a time.

The common types are done here in torch, which is several times faster than the gguf package's numpy; every
other type goes through that package. Block layouts: https://github.com/ggml-org/ggml, ggml-common.h.
"""

from collections.abc import Callable
from math import prod

import numpy as np
import torch

PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def dequantize(data: torch.Tensor, type_name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the tensor stored in `data`, in float32, or in its own dtype for the types of PLAIN.

    data: uint8, all bytes of the tensor; shape: of the result, slowest dimension first.
    Raises NotImplementedError when nobody knows the type.
    """
    if type_name in PLAIN:
        return data.view(PLAIN[type_name]).view(shape)
    if type_name in FAST:
        return FAST[type_name](data).view(shape)
    return _dequantize_by_package(data, type_name, shape)


def _halves(blocks: torch.Tensor, start: int) -> torch.Tensor:
    """Return the float16 at byte `start` of every block in float32: (blocks, bytes) -> (blocks, 1)."""
    return blocks[:, start : start + 2].contiguous().view(torch.float16).float()


def _nibbles(packed: torch.Tensor) -> torch.Tensor:
    """Return the 4-bit numbers in float32, low halves first: (blocks, 16) bytes -> (blocks, 32)."""
    numbers = torch.empty(len(packed), 32)
    numbers[:, :16] = packed & 15
    numbers[:, 16:] = packed >> 4
    return numbers


def _q8_0(data: torch.Tensor) -> torch.Tensor:
    """x = d * q: a float16 scale and 32 signed bytes."""
    blocks = data.view(-1, 34)
    # Convert, then multiply in place: torch takes twice as long over a product of int8 and float32.
    return blocks[:, 2:].view(torch.int8).float().mul_(_halves(blocks, 0))


def _q4_0(data: torch.Tensor) -> torch.Tensor:
    """x = d * (q - 8): a float16 scale and 32 four-bit numbers."""
    blocks = data.view(-1, 18)
    return _nibbles(blocks[:, 2:]).sub_(8).mul_(_halves(blocks, 0))


def _q4_1(data: torch.Tensor) -> torch.Tensor:
    """x = d * q + m: a float16 scale, a float16 minimum and 32 four-bit numbers."""
    blocks = data.view(-1, 20)
    return _nibbles(blocks[:, 4:]).mul_(_halves(blocks, 0)).add_(_halves(blocks, 2))


FAST: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1}


def _dequantize_by_package(data: torch.Tensor, type_name: str, shape: tuple[int, ...]) -> torch.Tensor:
    import gguf  # slow to import and rarely needed

    kind = gguf.GGMLQuantizationType[type_name]
    rows = data.view(prod(shape[:-1]), -1).numpy()
    with np.errstate(all="ignore"):
        return torch.from_numpy(gguf.quants.dequantize(rows, kind)).view(shape)
