"""Weight matrices in fewer bytes, and how to multiply by them.

Each class takes the (out, in) weight of a projection without bias and is a module from (..., in) to (..., out), both
float32, that TorchScript can compile. What they cost in quality is measured by benchmarks/perplexity.py, what they
give in speed by benchmarks/decode.py.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn

from llamalab.single_row import Float32


class Float16(nn.Module):
    """Two bytes a weight; products and sums are float32's."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.packed = torch.ops.quantized.linear_prepack_fp16(weight.detach().float(), None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.quantized.linear_dynamic_fp16(x, self.packed)


class Int8(nn.Module):
    """One byte a weight, with a scale for each output, and one byte an activation, with a scale for each row.

    Good only for inputs without outliers: one channel twenty times larger than the rest takes the whole range for
    itself (see ``orthogonal``). Weights use 7 of their 8 bits: the kernels for processors without VNNI add two
    products of 8 by 8 bits in 16 bits, which would overflow otherwise.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        weight = weight.detach().float()
        scale = weight.abs().amax(dim=1).clamp(min=1e-12).double() / 63
        zero = torch.zeros(weight.shape[0], dtype=torch.long)
        with warnings.catch_warnings():  # torch is about to move these functions to another package; it is pinned
            warnings.simplefilter("ignore", UserWarning)
            quantised = torch.quantize_per_channel(weight, scale, zero, axis=0, dtype=torch.qint8)
        self.packed = torch.ops.quantized.linear_prepack(quantised, None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() == x.shape[-1]:
            return torch.ops.quantized.linear_dynamic(x, self.packed)
        size = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12)
        return torch.ops.quantized.linear_dynamic(x / size, self.packed) * size


def float16(weight: torch.Tensor) -> nn.Module:
    """``Float16`` where its kernel and the weights' range allow it, otherwise ``Float32``."""
    has_kernel = "fbgemm" in torch.backends.quantized.supported_engines
    return (Float16 if has_kernel and weight.abs().max() <= torch.finfo(torch.float16).max else Float32)(weight)


def bfloat16(weight: torch.Tensor) -> nn.Module:
    """Weights rounded to bfloat16, as a checkpoint stored in it would have them.

    The kernel is float16's, which holds every bfloat16 of ordinary size exactly: few processors multiply bfloat16
    themselves, and on those that do not it takes several times as long as float32.
    """
    return float16(weight.bfloat16())


def orthogonal(size: int) -> torch.Tensor:
    """A random orthogonal matrix, always the same one, to spread outliers over all channels.

    A few channels of a language model's activations are many times larger than the rest. Turned by an orthogonal
    matrix R they are like all others, and ``(x R) (W R)^T = x W^T``, so weights turned once make up for it
    (Ashkboos et al. 2024, "QuaRot", section 3, with a random matrix in place of a Hadamard one).
    """
    normal = torch.randn(size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.linalg.qr(normal).Q.float()


PACKERS = {"float32": Float32, "float16": float16, "bfloat16": bfloat16, "int8": Int8}
