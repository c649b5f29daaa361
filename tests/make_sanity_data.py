"""Makes sanity_check.data: small models, token ids, and what transformers computes for them in float64.

    .venv/bin/python -m tests.make_sanity_data

Two models, one for each norm. Hidden states are stored for the causal model and for the one that sees both
directions, so that the check can tell a missing mask from a wrong number.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import save

from tests.oracle import random_pair

ROOT = Path(__file__).resolve().parent.parent
B, T = 2, 11


@torch.no_grad()
def reference(model: transformers.LlamaForCausalLM, tokens: torch.Tensor, causal: bool) -> dict[str, torch.Tensor]:
    """Logits of every position and the residual stream after every layer, in float32."""
    B, T = tokens.shape
    mask = None if causal else torch.zeros(B, 1, T, T, dtype=torch.float64)
    states = []
    hooks = [
        layer.register_forward_hook(lambda _module, _input, output: states.append(output))
        for layer in model.model.layers
    ]
    output = model(tokens, attention_mask=mask, output_hidden_states=True)
    for hook in hooks:
        hook.remove()
    tensors = {f"layers.{i}": state for i, state in enumerate(states)}
    tensors["norm"] = output.hidden_states[-1]
    tensors["output"] = output.logits
    return {name: tensor.float().contiguous() for name, tensor in tensors.items()}


def build() -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Every tensor of the file, and its metadata."""
    tensors = {}
    for norm in ("rmsnorm", "layernorm"):
        theirs, ours = random_pair(norm=norm)
        tokens = torch.randint(ours.config.vocab_size, (B, T), generator=torch.Generator().manual_seed(1))
        tensors[f"{norm}/tokens"] = tokens
        for name, weight in ours.named_parameters():  # tied weights appear once
            tensors[f"{norm}/weights/{name}"] = weight.detach().float()
        for kind, causal in (("causal", True), ("bidirectional", False)):
            for name, tensor in reference(theirs, tokens, causal).items():
                tensors[f"{norm}/{kind}/{name}"] = tensor
    fields = {name: value for name, value in ours.config.to_dict().items() if name != "norm"}
    return tensors, {"config": json.dumps(fields)}


if __name__ == "__main__":
    path, content = ROOT / "sanity_check.data", save(*build())
    path.write_bytes(content)
    print(f"{path}: {len(content):,} bytes")
