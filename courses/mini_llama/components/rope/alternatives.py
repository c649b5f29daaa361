"""Right rotary position embeddings, written in other ways."""

from autograder.instructor.contract import Body, File, right

BANK = right(
    "rope",
    sines_and_cosines="""
i = torch.arange(0, head_dim, 2, device=query.device).float()
angle = torch.outer(torch.arange(T, device=query.device).float(), 1.0 / theta ** (i / head_dim))
cos, sin = angle.cos()[None, :, None, :], angle.sin()[None, :, None, :]

def rotate(x):
    a, b = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).reshape(x.shape).type_as(x)

return rotate(query), rotate(key)
""",
    slice_assignment_in_place="""
i = torch.arange(0, head_dim, 2, device=query.device).float()
angle = torch.arange(T, device=query.device).float()[:, None, None] * theta ** (-i / head_dim)
for x in (query, key):
    a, b = x[..., 0::2].clone(), x[..., 1::2].clone()
    x[..., 0::2] = a * angle.cos() - b * angle.sin()
    x[..., 1::2] = a * angle.sin() + b * angle.cos()
return query, key
""",
    rotation_matrices="""
i = torch.arange(0, head_dim, 2, device=query.device).double()
angle = torch.outer(torch.arange(T, device=query.device).double(), theta ** (-i / head_dim))
turn = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), dim=-1).unflatten(-1, (2, 2))
rotate = lambda x: torch.einsum("tpij,bthpj->bthpi", turn, x.double().unflatten(-1, (-1, 2))).flatten(-2).type_as(x)
return rotate(query), rotate(key)
""",
    polar_with_the_whole_window=Body(
        "rope_frequencies",
        """
frequency = torch.exp(-torch.arange(0, head_dim, 2, device=device).float() * (torch.tensor(theta).log() / head_dim))
angle = torch.arange(length, device=device).float()[:, None] * frequency[None]
return torch.polar(torch.ones_like(angle), angle).to(dtype)
""",
    ),
    rotate_half_between_two_reorderings="""
frequency = theta ** (-torch.arange(0, head_dim, 2, device=query.device).float() / head_dim)
angle = torch.outer(torch.arange(T, device=query.device).float(), frequency).repeat_interleave(2, dim=-1)[:, None]

def quarter_turn(x):
    return torch.stack((-x[..., 1::2], x[..., 0::2]), dim=-1).flatten(-2)

return tuple(x * angle.cos() + quarter_turn(x) * angle.sin() for x in (query, key))
""",
    an_earlier_course=File(
        "rope.py",
        """
import torch
from typing import Tuple

print("rope loaded")


def reshape_for_broadcast(freqs_cis: torch.Tensor, x: torch.Tensor):
    shape = [d if i == 1 or i == x.ndim - 1 else 1 for i, d in enumerate(x.shape)]
    return freqs_cis.view(shape)


def apply_rotary_emb(
    query: torch.Tensor, key: torch.Tensor, head_dim: int, max_seq_len: int, theta: float = 10000.0
) -> Tuple[torch.Tensor, torch.Tensor]:
    _, seqlen, _, _ = query.shape
    query_real, query_imag = query.float().reshape(query.shape[:-1] + (-1, 2)).unbind(-1)
    key_real, key_imag = key.float().reshape(key.shape[:-1] + (-1, 2)).unbind(-1)
    theta_i = torch.pow(theta, -2 * torch.arange(0, head_dim // 2) / head_dim)
    angles = torch.arange(0, max_seq_len)[:seqlen].unsqueeze(1) * theta_i
    cos = reshape_for_broadcast(torch.cos(angles), query_real)
    sin = reshape_for_broadcast(torch.sin(angles), query_real)
    query_out = torch.stack((query_real * cos - query_imag * sin, query_real * sin + query_imag * cos), -1)
    key_out = torch.stack((key_real * cos - key_imag * sin, key_real * sin + key_imag * cos), -1)
    return query_out.flatten(-2), key_out.flatten(-2)
""",
    ),
)
