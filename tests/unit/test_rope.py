"""Rotary embeddings: against the definition, written out with rotation matrices in float64."""

from __future__ import annotations

import math

import pytest
import torch

from rope import apply_rotary_emb, rotations


def by_matrices(x: torch.Tensor, theta: float, positions: list[list[int]]) -> torch.Tensor:
    """Equation 15 of Su et al. (2021), one 2 x 2 rotation at a time. x: (B, T, heads, D)."""
    x, D = x.double(), x.shape[-1]
    out = torch.empty_like(x)
    for b, row in enumerate(positions):
        for t, position in enumerate(row):
            for i in range(D // 2):
                angle = position * theta ** (-2 * i / D)
                turn = torch.tensor(
                    [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64
                )
                out[b, t, :, 2 * i : 2 * i + 2] = x[b, t, :, 2 * i : 2 * i + 2] @ turn.T
    return out


@pytest.mark.parametrize("theta", [10000.0, 37.0])
def test_equals_the_definition(theta):
    query, key = torch.randn(2, 7, 6, 10), torch.randn(2, 7, 3, 10)  # query and key differ in heads
    rotated = apply_rotary_emb(query, key, 10, 32, theta=theta)
    for found, x in zip(rotated, (query, key), strict=True):
        expected = by_matrices(x, theta, [list(range(7))] * 2)
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)


def test_positions_may_differ_by_row():
    query, key = torch.randn(2, 3, 4, 6), torch.randn(2, 3, 2, 6)
    positions = [[5, 6, 7], [0, 0, 1]]
    found, _ = apply_rotary_emb(query, key, 6, 32, positions=torch.tensor(positions))
    torch.testing.assert_close(found.double(), by_matrices(query, 10000.0, positions), atol=1e-6, rtol=0)


def test_scores_depend_on_the_distance_alone():
    query, key = torch.randn(1, 1, 1, 16).double(), torch.randn(1, 1, 1, 16).double()

    def score(m, n):
        q, _ = apply_rotary_emb(query, key, 16, 4096, positions=torch.tensor([m]))
        _, k = apply_rotary_emb(query, key, 16, 4096, positions=torch.tensor([n]))
        return (q * k).sum()

    torch.testing.assert_close(score(3, 1), score(4000, 3998))


def test_the_first_position_is_left_alone():
    query, key = torch.randn(1, 1, 2, 8), torch.randn(1, 1, 2, 8)
    assert torch.equal(apply_rotary_emb(query, key, 8, 4)[0], query)


def test_far_positions_keep_float32_accuracy():
    query, key = torch.randn(1, 1, 1, 64), torch.randn(1, 1, 1, 64)
    found, _ = apply_rotary_emb(query, key, 64, 8192, theta=100_000.0, positions=torch.tensor([8191]))
    torch.testing.assert_close(found.double(), by_matrices(query, 100_000.0, [[8191]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_dtype_stays(dtype):
    query, key = apply_rotary_emb(torch.randn(1, 2, 2, 4, dtype=dtype), torch.randn(1, 2, 1, 4, dtype=dtype), 4, 8)
    assert query.dtype == key.dtype == dtype


def test_gradients_flow():
    query, key = torch.randn(1, 3, 2, 4, requires_grad=True), torch.randn(1, 3, 1, 4)
    apply_rotary_emb(query, key, 4, 8)[0].square().sum().backward()
    torch.testing.assert_close(query.grad, 2 * query)  # a rotation keeps lengths


def test_angles_first_needed_while_generating_serve_training_afterwards():
    rotations.cache_clear()
    x = torch.randn(1, 3, 2, 8, requires_grad=True)
    with torch.inference_mode():
        apply_rotary_emb(x.detach(), x.detach(), 8, 16)
    apply_rotary_emb(x, x, 8, 16)[0].sum().backward()
    assert x.grad is not None
