"""Worker side: a model whose logits are known for every context, so that only ``generate`` is under test.

A context is the tokens that the model may see: the last ``max_seq_len`` of a row. It selects one row of a table of
logits, and every token of it counts, by its value and by its distance from the end. So a context that lacks a token, or
has one too many, gives other logits.
"""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from typing import Any

import torch

from autograder.worker.contract import BadAnswer, StudentModules

NEUTRAL = {"epsilon": 0.0, "top_p": 1.001}  # above 1, or rounding might push the least likely token over it


def rows_of(contexts: torch.Tensor, rows: int) -> torch.Tensor:
    """Which of a table's rows each context selects: (B, n) token ids -> (B,). ``rows`` is a prime above 30.

    >>> rows_of(torch.tensor([[2, 0], [0, 2]]), rows=31)
    tensor([25, 11])
    """
    return ((contexts + 1) * _weights(contexts.shape[1], rows)).sum(dim=1) % rows


@cache
def _weights(n: int, rows: int) -> torch.Tensor:
    ages = torch.arange(n - 1, -1, -1)  # (n,): 0 is the newest token
    return 1 + 7 * ages % (rows - 1)


def model(submission: StudentModules, inputs: dict[str, Any]) -> torch.nn.Module:
    """The student's ``Llama`` with ``table`` (rows, V) for a ``forward``, and a window of ``window`` tokens."""
    Llama = submission.module("llama").Llama
    Llama.forward = _forward(inputs["table"], inputs["window"])
    config = importlib.import_module("config").LlamaConfig(
        vocab_size=inputs["table"].shape[1], dim=8, n_layers=1, n_heads=2, n_kv_heads=2, max_seq_len=inputs["window"]
    )
    try:
        config.n_layers = 0  # what layers are made of is another component's question
        return Llama(config).eval()
    except ZeroDivisionError:  # initial weights scaled by the number of layers
        config.n_layers = 1
        return Llama(config).eval()


def generate(llama: torch.nn.Module, idx: torch.Tensor, inputs: dict[str, Any]) -> Any:
    """What ``llama.generate`` returns for ``idx`` (B, T) and the case's ``steps`` and ``settings``.

    Other filters that it has by default are switched off.
    """
    parameters = inspect.signature(llama.generate).parameters
    neutral = {**NEUTRAL, "top_k": inputs["table"].shape[1]}
    off = {name: value for name, value in neutral.items() if name in parameters and parameters[name].default}
    return llama.generate(idx.clone(), inputs["steps"], **{**off, **inputs["settings"]})


def _forward(table: torch.Tensor, window: int):
    """A ``Llama.forward`` that looks logits up; with a cache, ``tokens`` are those that it has not seen."""
    rows, V = table.shape

    def forward(self, tokens, targets=None, attention_mask=None, cache=None, **others):
        _check(tokens, V)
        context = tokens
        if cache is not None:
            seen = getattr(cache, "table_context", tokens[:, :0])[:, : cache.length]
            context = cache.table_context = torch.cat((seen, tokens), dim=1)
            cache.advance(tokens.shape[1])
        T, S = tokens.shape[1], context.shape[1]
        if S > window:
            raise BadAnswer(f"the model was given {S} tokens; its window holds {window} (config.max_seq_len)")
        ends = range(S - T + 1, S + 1) if targets is not None else [S]
        logits = torch.stack([table[rows_of(context[:, :end], rows)] for end in ends], dim=1)
        return logits, torch.zeros(*tokens.shape, self.config.dim)  # (B, 1 or T, V), (B, T, C)

    return forward


def _check(tokens: Any, V: int) -> None:
    if not isinstance(tokens, torch.Tensor):
        raise BadAnswer(f"the model was given {type(tokens).__name__}; it takes token ids, a tensor (batch, position)")
    if tokens.dtype not in (torch.int64, torch.int32):
        raise BadAnswer(f"the model was given {str(tokens.dtype).removeprefix('torch.')}; token ids are int64")
    if tokens.ndim != 2 or tokens.numel() == 0:
        raise BadAnswer(f"the model was given shape {tuple(tokens.shape)}; it takes (batch, position), not empty")
    smallest, largest = (int(token) for token in tokens.aminmax())
    if smallest < 0 or largest >= V:
        bad = smallest if smallest < 0 else largest
        raise BadAnswer(f"the model was given token {bad}; its vocabulary has ids 0 to {V - 1}")
