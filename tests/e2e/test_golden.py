"""Real models, where they have been fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llamalab import generation, models

HERE = Path(__file__).parent


@torch.no_grad()
def test_200_greedy_tokens_of_stories260k_are_those_of_llama2_c(asset):
    loaded = models.load(asset("stories260K-model"))
    [completion] = generation.complete(loaded.llama, loaded.tokenizer, [""], 200, temperature=0.0)
    assert len(completion.new_ids) == 200
    assert completion.text == (HERE / "stories260K-greedy-200.txt").read_text(encoding="utf-8")


@pytest.mark.slow
@torch.no_grad()
def test_smollm2_logits_equal_transformers(asset):
    transformers = pytest.importorskip("transformers")
    path = asset("smollm2")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    loaded = models.load(path)
    ids = loaded.tokenizer.encode("The capital of France is Paris. 3 + 4 = 7", bos=False, eos=False)
    tokens = torch.tensor([ids])
    ours, _ = loaded.llama(tokens, targets=tokens)
    torch.testing.assert_close(ours, theirs(tokens).logits, atol=1e-4, rtol=0)
