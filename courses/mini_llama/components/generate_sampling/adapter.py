"""Runs ``Llama.generate`` many times, with a table of logits for a model, and counts what is drawn.

Counted are ranks: 0 is the token that is the most likely in its context. All contexts of a group have the same logits
in another order, so the ranks of all their draws have one known distribution, while a draw from another context's or
another row's logits has a rank by chance.
"""

from __future__ import annotations

from typing import Any

import torch

from autograder.worker.contract import BadAnswer, StudentModules

from .._shared.adapters import context_table

MODULES = ("llama", "sampling")
AXES = {"counts": ("group", "rank")}
OPTIONS = {"filter": ("none", "epsilon")}


def run(submission: StudentModules, inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """``counts`` (groups, V): how often each rank was drawn in the contexts of each group.

    ``idx`` (B, T) has the prompts, of which so many as ``alone`` says are continued one at a time, and the others as
    one batch; ``group`` (rows of the table,) is the group of each row's logits.
    """
    llama = context_table.model(submission, inputs)
    B, alone = len(inputs["idx"]), inputs["alone"]
    sizes = [1] * alone + [B - alone] * (alone < B)
    batches = inputs["idx"].split(sizes)
    texts = torch.cat([_text(context_table.generate(llama, idx, inputs), idx, inputs) for idx in batches])
    return {"counts": _counts(texts, inputs)}


def _text(tokens: Any, idx: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
    """What ``generate`` returned, (B, T + steps) token ids that begin with the prompt.

    Raises:
        BadAnswer: it is something else.
    """
    B, T = idx.shape
    if not isinstance(tokens, torch.Tensor):
        raise BadAnswer(f"generate returned {type(tokens).__name__}; a tensor of token ids was expected")
    if tokens.shape != (B, T + inputs["steps"]):
        raise BadAnswer(
            f"generate returned shape {tuple(tokens.shape)}; {(B, T + inputs['steps'])} was expected: "
            f"a prompt of {T} and {inputs['steps']} new tokens"
        )
    if tokens.dtype != torch.int64:
        raise BadAnswer(f"generate returned {str(tokens.dtype).removeprefix('torch.')}; token ids are int64")
    if not torch.equal(tokens[:, :T], idx):
        raise BadAnswer("what generate returned does not begin with the prompt")
    if not 0 <= tokens.min() <= tokens.max() < inputs["table"].shape[1]:
        raise BadAnswer(f"generate returned a token outside the vocabulary of {inputs['table'].shape[1]}")
    return tokens


def _counts(texts: torch.Tensor, inputs: dict[str, Any]) -> torch.Tensor:
    """Ranks of the new tokens of ``texts`` (B, T + steps), counted by group: (groups, V)."""
    table, group, window = inputs["table"], inputs["group"], inputs["window"]
    groups, V = int(group.max()) + 1, table.shape[1]
    ranks = table.argsort(dim=1, descending=True).argsort(dim=1)  # (rows, V)
    counts = torch.zeros(groups * V, dtype=torch.int64)
    for end in range(inputs["idx"].shape[1], texts.shape[1]):
        rows = context_table.rows_of(texts[:, max(0, end - window) : end], len(table))  # (B,)
        counts += torch.bincount(group[rows] * V + ranks[rows, texts[:, end]], minlength=groups * V)
    return counts.view(groups, V)
