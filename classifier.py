"""Sentence classification with a Llama: by asking it (zero-shot) and by training a head on its last hidden state.

Shapes: B batch, T sequence, C model dim, V vocabulary, L labels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from llama import load_pretrained
from tokenizer import Tokenizer


def last_real(hidden: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """The hidden state of the last real token of each row, whatever the padding: (B, T, C) -> (B, C).

    Args:
        attention_mask: (B, T), 1 for real tokens, 0 for padding on either side. None: no padding.
    """
    if attention_mask is None:
        return hidden[:, -1]
    B, T = attention_mask.shape
    position = torch.arange(T, device=hidden.device)
    last = (attention_mask * position).argmax(dim=1)  # (B,)
    return hidden[torch.arange(B, device=hidden.device), last]


class LlamaZeroShotClassifier(nn.Module):
    """Asks a frozen language model: which label's name would it write next?

    The courses' score: with the prompt's next-token log-probabilities, a label scores the sum over the tokens of its
    name, all read at the same position. That is right for names of one token. For longer ones it treats the second
    token as if it came first too, and longer names score lower whatever they mean. ``--prompt_scoring full`` of
    run_llama.py is the proper log-probability of a name, given the prompt.

    Args:
        config: needs ``pretrained_model_path`` and ``num_labels``.
        tokenizer: the model's.
        label_names: one a label, in the order of the label ids.
    """

    def __init__(self, config: Any, tokenizer: Tokenizer, label_names: list[str]) -> None:
        super().__init__()
        if len(label_names) != config.num_labels:
            raise ValueError(f"{len(label_names)} label names for {config.num_labels} labels")
        self.num_labels = config.num_labels
        self.llama = load_pretrained(config.pretrained_model_path).requires_grad_(False)
        self.tokenizer = tokenizer
        self.label_name_ids = [tokenizer.encode(name, bos=False, eos=False) for name in label_names]

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Score every label: token ids (B, T) -> (B, L) log-probabilities, not normalised over labels."""
        hidden = _hidden_states(self.llama, input_ids, attention_mask)
        log_probs = F.log_softmax(self.llama.output(last_real(hidden, attention_mask)), dim=-1)  # (B, V)
        return torch.stack([log_probs[:, ids].sum(dim=-1) for ids in self.label_name_ids], dim=-1)


class LlamaEmbeddingClassifier(nn.Module):
    """A linear head on the hidden state of the last token, which in a causal model is the only one to see all others.

    Args:
        config: needs ``pretrained_model_path``, ``num_labels`` and ``hidden_dropout_prob``; with ``option`` "pretrain"
            or "prompt" the language model is frozen, with "finetune" everything learns, and for "lora"
            ``lora.apply_lora`` decides.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.num_labels = config.num_labels
        self.llama = load_pretrained(config.pretrained_model_path)
        self.llama.requires_grad_(getattr(config, "option", "finetune") not in ("pretrain", "prompt"))
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier_head = nn.Linear(self.llama.config.dim, self.num_labels)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Classify sentences: token ids (B, T) -> (B, L) log-probabilities.

        1. Run the language model and take the hidden state of the last real token of each row (``last_real``).
        2. Apply ``self.dropout`` to it.
        3. Project it with ``self.classifier_head`` and take the log-softmax over the labels.

        Args:
            attention_mask: (B, T), 1 for real tokens, 0 for padding on either side. None: no padding.
        """
        hidden = _hidden_states(self.llama, input_ids, attention_mask)  # (B, T, C)
        ### BEGIN SOLUTION classifier
        pooled = self.dropout(last_real(hidden, attention_mask))  # (B, C)
        return F.log_softmax(self.classifier_head(pooled), dim=-1)  # (B, L)
        ### END SOLUTION classifier


def _hidden_states(llama: nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """(B, T) -> (B, T, C). A model written for an earlier course knows no mask, and gets none it does not need."""
    options = {} if attention_mask is None else {"attention_mask": attention_mask}
    return llama(input_ids, **options)[1]
