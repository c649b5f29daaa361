"""Greedy generation by ``transformers``' own search, over a model that looks its logits up."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import CausalLMOutput

from .._shared.adapters.context_table import rows_of


class _TableModel(PreTrainedModel, GenerationMixin):
    """A model without a cache and without padding, whose logits are those of the last ``window`` tokens."""

    config_class = PretrainedConfig
    _supports_cache_class = False

    def __init__(self, table: torch.Tensor, window: int) -> None:
        super().__init__(PretrainedConfig(vocab_size=table.shape[1]))
        self.table, self.window = torch.nn.Parameter(table), window

    def forward(self, input_ids: torch.Tensor, **_: Any) -> CausalLMOutput:
        return CausalLMOutput(logits=self.table[rows_of(input_ids[:, -self.window :], len(self.table))][:, None])

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, **_: Any) -> dict[str, Any]:
        return {"input_ids": input_ids}


def expected(inputs: dict[str, Any], options: dict[str, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """``tokens`` (B, T + steps)."""
    model = _TableModel(inputs["table"].double(), inputs["window"])
    no_id = inputs["table"].shape[1]  # of padding: there is none
    search = GenerationConfig(do_sample=False, use_cache=False, max_new_tokens=inputs["steps"], pad_token_id=no_id)
    tokens = model.generate(inputs["idx"], generation_config=search)
    return {"greedy": {"tokens": tokens}}
