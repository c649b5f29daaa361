"""Rotary position embeddings (Su et al. 2021, "RoFormer", https://arxiv.org/abs/2104.09864).

Attention by itself does not know in which order tokens stand. RoPE tells it by *rotating* queries and keys: the
vector at position m turns by an angle proportional to m. A dot product of two rotated vectors depends only on
the difference of their angles, so a score knows how far apart query and key are, and nothing else.

Shapes: B batch, T sequence, H query heads, K key/value heads, D head_dim.
"""

from __future__ import annotations

from functools import lru_cache

import torch


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what generation leaves in the cache must serve training too
def rotations(head_dim: int, length: int, theta: float, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """How far every channel pair is turned at every position, as complex numbers of length one.

    Pair i turns by ``m * theta ** (-2 i / head_dim)`` radians at position m (section 3.2.2, equation 15): pair 0
    by a whole radian a step, the last pair so slowly that it never completes a turn within the window. A turn by
    ``a`` is the complex number ``cos(a) + i sin(a)``.

    Args:
        head_dim: D, even.
        length: number of positions, counted from 0.
        theta: base of the frequencies; 10000 in the paper, larger for longer windows.
        dtype: a complex dtype. Work in float64 first: at position 8000 a float32 angle is off by 0.0005.

    Returns:
        (length, D/2), complex. Cached, because every layer asks for the same one.
    """
    ### BEGIN SOLUTION rope_frequencies
    frequency = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)  # (D/2,)
    position = torch.arange(length, dtype=torch.float64)
    angle = torch.outer(position, frequency)  # (length, D/2)
    return torch.polar(torch.ones_like(angle), angle).to(device, dtype)
    ### END SOLUTION rope_frequencies


def apply_rotary_emb(
    query: torch.Tensor,
    key: torch.Tensor,
    head_dim: int,
    max_seq_len: int,
    theta: float = 10000.0,
    positions: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotate queries and keys by their positions.

    Neighbouring channels form the pairs: (x0, x1), (x2, x3), ... A pair (a, b) turned by an angle t becomes
    (a cos t - b sin t, a sin t + b cos t) (section 3.4.2, equation 34), which is the complex product
    (a + i b)(cos t + i sin t). ``torch.view_as_complex`` lets one multiplication do all pairs.

    Args:
        query: (B, T, H, D).
        key: (B, T, K, D); K may differ from H (grouped-query attention).
        head_dim: D.
        max_seq_len: the model's window; rotations are prepared for this many positions.
        theta: base of the frequencies.
        positions: whole numbers below ``max_seq_len``, (T,) or (B, T), where each token stands. None means
            0, 1, ..., T-1. Cached decoding and left-padded batches need something else.

    Returns:
        The rotated query (B, T, H, D) and key (B, T, K, D), in the dtype they came in.
    """
    T = query.shape[1]
    ### BEGIN SOLUTION rope
    real = torch.promote_types(query.dtype, torch.float32)
    turns = rotations(head_dim, max(max_seq_len, T), theta, real.to_complex(), query.device)
    turns = turns[:T] if positions is None else turns[positions]  # (T, D/2) or (B, T, D/2)
    turns = turns.unsqueeze(-2)  # the same for every head: (T, 1, D/2) or (B, T, 1, D/2)

    def rotate(x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.to(real).unflatten(-1, (-1, 2)))  # (B, T, heads, D/2)
        return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)  # (B, T, heads, D)

    return rotate(query), rotate(key)
    ### END SOLUTION rope
