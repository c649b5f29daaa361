"""Inputs for the embedding classifier: sentences as token ids, and the weights of a small model and a head."""

from __future__ import annotations

from typing import Any

import torch

from autograder.instructor.contract import normal

V, C, L, LAYERS = 11, 6, 4, 2


def cases(seed: int, options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Sentences of one length in evaluation and in training, one token, and padding on the left and on the right."""
    generator = torch.Generator().manual_seed(seed)

    def case(B: int = 3, T: int = 5, training: bool = False) -> dict[str, Any]:
        return {
            "input_ids": torch.randint(1, V, (B, T), generator=generator),
            "embeddings": normal(generator, V, C),
            "layers": normal(generator, LAYERS, C, C),
            "head": normal(generator, L, C),
            "head_bias": normal(generator, L),
            "kept": torch.tensor([0.0, 1.0]).repeat(V // 2 + 1),
            "training": training,
        }

    def padded(lengths: list[int], left: bool) -> dict[str, Any]:
        T = max(lengths)
        mask = (torch.arange(T) < torch.tensor(lengths)[:, None]).long()
        mask = mask.flip(1) if left else mask
        inputs = case(len(lengths), T)
        return {**inputs, "input_ids": inputs["input_ids"] * mask, "attention_mask": mask}  # token 0 is the padding

    return {
        "sentences": case(B=7),
        "training": case(training=True),
        "one_token": case(B=1, T=1),
        "left": padded([3, 8, 5, 1, 7], left=True),
        "right": padded([3, 8, 5, 1, 7], left=False),
    }
