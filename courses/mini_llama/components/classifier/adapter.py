"""Runs ``classifier.LlamaEmbeddingClassifier`` over a small known model, with known weights in its head.

The model is a real module with the parts of a Llama, so that a classifier may call it or walk its layers. Dropout is
known too: ``torch.nn.functional.dropout``, which ``nn.Dropout`` calls, drops given channels.

An earlier course's ``forward`` takes token ids alone. It cannot know which of them are padding, so it is given the rows
one by one, each without its padding: the answers are the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import nn

from autograder.worker.contract import BadAnswer, StudentModules

from ..layer.adapter import Mixing

MODULES = ("classifier",)
AXES = {"log_probabilities": ("row", "label")}
DROPOUT = 0.3


class KnownLayer(nn.Module):
    """``x + attention(x)``."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.attention = Mixing(weight)

    def forward(self, x: torch.Tensor, context: Any = None, *extras: Any, **named: Any) -> torch.Tensor:
        """(B, T, C) -> (B, T, C)."""
        return x + self.attention(x, context)


class KnownLlama(nn.Module):
    """A model with a Llama's parts and interface, and given weights.

    Args:
        embeddings: (V, C), also the output's.
        layers: (layers, C, C).
    """

    def __init__(self, embeddings: torch.Tensor, layers: torch.Tensor) -> None:
        super().__init__()
        V, C = embeddings.shape
        self.config = self.params = SimpleNamespace(
            vocab_size=V, dim=C, n_layers=len(layers), dropout=0.0, max_seq_len=32, causal=True
        )
        self.tok_embeddings = nn.Embedding(V, C, _weight=embeddings.clone())
        self.dropout = nn.Dropout(self.config.dropout)
        self.layers = nn.ModuleList(KnownLayer(weight) for weight in layers)
        self.norm = nn.LayerNorm(C, dtype=embeddings.dtype)
        self.output = nn.Linear(C, V, bias=False, dtype=embeddings.dtype)
        self.output.weight = self.tok_embeddings.weight

    def forward(
        self,
        tokens: torch.Tensor,
        targets: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        cache: Any = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids (B, T) to logits (B, 1, V), or (B, T, V) with targets, and hidden states (B, T, C)."""
        context = self._context(tokens, attention_mask, cache)
        h = self.dropout(self.tok_embeddings(tokens))
        for layer in self.layers:
            h = layer(h, context)
        h = self.norm(h)
        return self.output(h if targets is not None else h[:, [-1], :]), h

    def _context(self, tokens: torch.Tensor, attention_mask: torch.Tensor | None, cache: Any) -> SimpleNamespace:
        """``mask`` (B, 1, T, T): what each position may see, which is itself and the real tokens before it."""
        T = tokens.shape[1]
        mask = torch.ones(len(tokens), 1, T, T, dtype=torch.bool).tril()
        if attention_mask is not None:
            mask = mask & attention_mask.bool()[:, None, None, :] | torch.eye(T, dtype=torch.bool)
        return SimpleNamespace(positions=None, mask=mask, cache=cache)


def run(submission: StudentModules, inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """``input_ids`` (B, T), perhaps ``attention_mask`` (B, T), weights, ``training``: ``log_probabilities`` (B, L)."""
    llama = KnownLlama(inputs["embeddings"], inputs["layers"])
    submission.stub("llama.load_pretrained", lambda *args, **options: llama.eval())
    config = SimpleNamespace(
        pretrained_model_path="known", num_labels=len(inputs["head"]), hidden_dropout_prob=DROPOUT, option="finetune"
    )
    with mock.patch("torch.nn.functional.dropout", _known_dropout(inputs["kept"])):
        classifier = submission.module("classifier").LlamaEmbeddingClassifier(config)
        _fill_head(classifier.classifier_head, inputs["head"], inputs["head_bias"])
        classifier.train(inputs["training"])
        return {"log_probabilities": _answers(classifier, inputs["input_ids"], inputs.get("attention_mask"))}


def _fill_head(head: nn.Linear, weight: torch.Tensor, bias: torch.Tensor) -> None:
    if head.weight.shape != weight.shape:
        L, C = weight.shape
        raise BadAnswer(
            f"classifier_head.weight has shape {tuple(head.weight.shape)}; (labels, dim) = ({L}, {C}) was expected"
        )
    head.load_state_dict({"weight": weight, "bias": bias})


def _known_dropout(kept: torch.Tensor) -> Callable[..., torch.Tensor]:
    """A dropout that keeps the channels where ``kept`` is 1, whatever their number, and scales them up as usual."""

    def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        return input * kept[: input.shape[-1]] / (1 - p) if training and p > 0 else input

    return dropout


def _answers(classifier: nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    if attention_mask is None:
        return classifier(input_ids)
    knows = [name for name in inspect.signature(classifier.forward).parameters if "mask" in name]
    if knows:
        return classifier(input_ids, **{knows[0]: attention_mask})
    rows = [classifier(ids[real.bool()][None]) for ids, real in zip(input_ids, attention_mask, strict=True)]
    return torch.cat(rows)
