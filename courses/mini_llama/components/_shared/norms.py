"""What the cases and the banks of both norms share."""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import FileEdit, normal

RAISED = (
    "the result raised as an error, not returned",
    "Write return where the TODO had raise; only exceptions can be raised (Python reference, the raise statement)",
)
WEIGHT_TWICE = (
    "the weight applied twice",
    "Leave the weight out of _norm: forward multiplies by it, once, as its docstring says",
)


def cases(
    seed: int, parameters: dict[str, float], powers: tuple[int, int], affine: str, flat: tuple[str, float]
) -> dict[str, dict[str, Any]]:
    """Inputs whose mean is not zero. eps is too small to see, but for the case that is about it.

    Args:
        parameters: their values, but for the case that is about them.
        powers: of 2, by which the tokens of a case are scaled: the least, and one above the greatest.
        affine: the name of the case whose parameters are random.
        flat: the name of the case in which all channels of one token are the same, and their value.
    """
    generator = torch.Generator().manual_seed(seed)

    def case(B: int, T: int, C: int, eps: float = 1e-6) -> dict[str, Any]:
        plain = {name: torch.full((C,), value) for name, value in parameters.items()}
        return {"input": normal(generator, B, T, C) + 1, **plain, "eps": eps}

    drawn = case(2, 3, 6)
    drawn |= {name: normal(generator, 6) + value for name, value in parameters.items()}
    tokens = case(2, 7, 8)
    tokens["input"] *= 2.0 ** torch.randint(*powers, (2, 7, 1), generator=generator)  # each of its own size
    even = case(2, 3, 4)
    even["input"][1, 2] = flat[1]
    one, large = case(1, 1, 8), case(2, 3, 10, eps=0.5)
    return {"one_token": one, "tokens": tokens, affine: drawn, "large_eps": large, flat[0]: even}


def earlier_course(norm: str) -> list[FileEdit]:
    """A course with one norm, under another name, whatever the configuration says."""
    old = 'NORMS = {"rmsnorm": RMSNorm, "layernorm": LayerNorm}'
    new = 'NORMS = {"rmsnorm": LlamaNorm, "layernorm": LlamaNorm}\nprint("llama loaded")'
    return [
        FileEdit("llama.py", f"class {norm}(nn.Module):", "class LlamaNorm(nn.Module):"),
        FileEdit("llama.py", old, new),
    ]
