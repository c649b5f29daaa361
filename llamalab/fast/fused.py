"""The same model, arranged for speed: fewer and larger operations, weights in fewer bytes.

Decoding one token reads every weight once and does little with it, so its speed is the memory's, divided by the bytes
of a weight, as long as starting the operations costs less than running them. ``fuse`` therefore packs the weights,
joins what can be joined (query, key and value into one product; ``w1`` and ``w3`` into another) and compiles the loop
over the layers with TorchScript. ``Llama.forward`` and ``Llama.generate`` stay as they are. benchmarks/README.md has
the figures, and what was tried besides.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from llamalab import course
from llamalab.errors import UserError
from llamalab.fast.packing import PACKERS, float16, orthogonal
from llamalab.single_row import Float32

if TYPE_CHECKING:
    from base_llama import Context
    from config import LlamaConfig
    from llama import Llama


def fuse(llama: Llama, precision: str) -> Llama:
    """Rearrange a model in place for inference on the CPU, and give it back.

    The layers are replaced by one ``FusedStack`` and the output projection by a packed one; what was packed is let go.
    Training and saving are over for this object.

    Args:
        precision: one of ``PACKERS``; activations between products stay float32.

    Raises:
        UserError: int8 and LayerNorm, which does not allow the rotation that int8 needs.
    """
    if precision == "int8" and llama.config.norm != "rmsnorm":
        raise UserError("--dtype int8 needs a model with RMSNorm; with LayerNorm take float16")
    llama.requires_grad_(False)
    rotation = orthogonal(llama.config.dim) if precision == "int8" else None
    llama.layers = nn.ModuleList([FusedStack(llama.layers, llama.config, precision, rotation)])
    if rotation is None:
        llama.output = PACKERS[precision](llama.output.weight)
    else:
        llama.output = nn.Sequential(Float32(rotation.T), PACKERS[precision](llama.output.weight @ rotation))
    return llama.eval()


class FusedStack(nn.Module):
    """All layers of a Llama in one compiled loop.

    With a ``rotation`` the residual stream is rotated: every matrix that reads it or writes into it is turned by the
    same orthogonal matrix, RMSNorm does not notice, and the stream has no outliers any more. The input of ``w2`` passes
    a product of two functions on its way and cannot be turned so; that matrix stays float16.
    """

    def __init__(
        self, layers: nn.ModuleList, config: LlamaConfig, precision: str, rotation: torch.Tensor | None
    ) -> None:
        super().__init__()
        self.config = config
        self.rotation = rotation
        loop = _Loop(_Layer(layer, config, precision, rotation) for layer in layers)
        with warnings.catch_warnings():  # TorchScript is being retired slowly; torch is pinned
            warnings.simplefilter("ignore", DeprecationWarning)
            self.loop = torch.jit.script(loop.eval())

    def forward(self, x: torch.Tensor, context: Context | None = None) -> torch.Tensor:
        """(B, T, C) -> (B, T, C)."""
        context = context or course.get("base_llama").Context()
        T, cache = x.shape[1], context.cache
        past = 0 if cache is None else cache.length
        mask, causal = context.mask, context.mask is None and self.config.causal and T > 1
        if causal and past:  # is_causal means the first T of S positions, these are the last
            mask, causal = torch.ones(T, past + T, dtype=torch.bool).tril(diagonal=past), False
        keys, values = ([], []) if cache is None else (cache.keys, cache.values)
        x = x if self.rotation is None else x @ self.rotation
        with torch.jit.optimized_execution(False):  # profiling and recompiling costs more than it brings here
            x = self.loop(x, self._turns(T, context), mask, causal, keys, values, past)
        return x if self.rotation is None else x @ self.rotation.T

    def _turns(self, T: int, context: Context) -> torch.Tensor:
        """What the heads are multiplied by: (1, T, H+2K, D/2) or (B, T, H+2K, D/2), complex.

        Queries and keys are rotated, values stay; attention's scale 1 / sqrt(D) is done on the queries here.
        """
        H, K, D = self.config.n_heads, self.config.n_kv_heads, self.config.head_dim
        size, theta = self.config.max_seq_len, self.config.rope_theta
        table = course.get("rope").rotations(D, size, theta, torch.complex64, torch.device("cpu"))
        turns = table[None, :T] if context.positions is None else table[torch.atleast_2d(context.positions)]
        turns = turns.unsqueeze(2).repeat(1, 1, H + 2 * K, 1)
        turns[:, :, :H] *= D**-0.5
        turns[:, :, H + K :] = 1
        return turns


class _Loop(nn.Module):
    """One layer after the other."""

    def __init__(self, layers) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self,
        x: torch.Tensor,
        turns: torch.Tensor,
        mask: torch.Tensor | None,
        causal: bool,
        keys: list[torch.Tensor],
        values: list[torch.Tensor],
        past: int,
    ) -> torch.Tensor:
        for i, layer in enumerate(self.layers):
            if len(keys) > 0:
                x = layer(x, turns, mask, causal, keys[i], values[i], past)
            else:
                x = layer(x, turns, mask, causal, None, None, past)
        return x


class _Layer(nn.Module):
    """One layer with packed products, written for the compiler: plain tensors and numbers in, a tensor out."""

    def __init__(self, layer: nn.Module, config: LlamaConfig, precision: str, rotation: torch.Tensor | None) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = config.n_heads, config.n_kv_heads, config.head_dim
        attention, feed_forward, pack = layer.attention, layer.feed_forward, PACKERS[precision]
        self.attention_norm, gain = _norm(layer.attention_norm, config)
        query, key, value = attention.compute_query, attention.compute_key, attention.compute_value
        qkv = torch.cat([query.weight, key.weight, value.weight]) * gain
        self.ffn_norm, gain = _norm(layer.ffn_norm, config)
        gate_up = torch.cat([feed_forward.w1.weight, feed_forward.w3.weight]) * gain
        output, down = attention.compute_output.weight, feed_forward.w2.weight
        if rotation is not None:
            qkv, gate_up = qkv @ rotation, gate_up @ rotation  # they read the stream
            output, down = rotation.T @ output, rotation.T @ down  # they write into it
        self.qkv, self.attention_output, self.gate_up = pack(qkv), pack(output), pack(gate_up)
        self.down = pack(down) if rotation is None else float16(down)

    def forward(
        self,
        x: torch.Tensor,
        turns: torch.Tensor,
        mask: torch.Tensor | None,
        causal: bool,
        keys: torch.Tensor | None,
        values: torch.Tensor | None,
        past: int,
    ) -> torch.Tensor:
        B, T, H, K, D = x.shape[0], x.shape[1], self.n_heads, self.n_kv_heads, self.head_dim
        heads = self.qkv(self.attention_norm(x)).view(B, T, H + 2 * K, D)
        torch.view_as_complex(heads.view(B, T, H + 2 * K, D // 2, 2)).mul_(turns)
        heads = heads.transpose(1, 2)  # (B, H+2K, T, D)
        query, key, value = heads.narrow(1, 0, H), heads.narrow(1, H, K), heads.narrow(1, H + K, K)
        if keys is not None and values is not None:
            keys.narrow(2, past, T).copy_(key)
            values.narrow(2, past, T).copy_(value)
            key, value = keys.narrow(2, 0, past + T), values.narrow(2, 0, past + T)  # (B, K, S, D)

        if T == 1 and mask is None:  # a single position sees every key; the heads of a group are rows of one product
            key, value = key.flatten(0, 1), value.flatten(0, 1)  # (B*K, S, D)
            scores = torch.bmm(query.reshape(B * K, H // K, D), key.transpose(1, 2))  # (B*K, H/K, S)
            attended = torch.bmm(scores.softmax(dim=-1), value).view(B, 1, H * D)
        else:
            attended = F.scaled_dot_product_attention(
                query, key, value, mask, is_causal=causal, scale=1.0, enable_gqa=H != K
            )
            attended = attended.transpose(1, 2).flatten(2)  # (B, T, H*D)
        x = x + self.attention_output(attended)
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)  # (B, T, F) each
        return x + self.down(F.silu(gate).mul_(up))


class _RMS(nn.Module):
    """RMSNorm without its gains."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() != self.dim:
            return F.rms_norm(x, [self.dim], eps=self.eps)
        row = x.flatten()
        return x * (torch.dot(row, row) / self.dim + self.eps).rsqrt()


def _norm(norm: nn.Module, config: LlamaConfig) -> tuple[nn.Module, torch.Tensor]:
    """A norm, and the gains that the weights it feeds have to be multiplied by."""
    if config.norm == "rmsnorm":
        return _RMS(config.dim, config.layer_norm_eps), norm.weight
    layer_norm = nn.LayerNorm(config.dim, eps=config.layer_norm_eps)
    layer_norm.weight, layer_norm.bias = norm.weight, norm.bias
    return layer_norm, torch.ones(config.dim)
