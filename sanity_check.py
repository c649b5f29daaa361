"""Is the whole forward pass right?

    python sanity_check.py

Runs your Llama on two small models whose layers, hidden states and logits transformers computed in float64, and says
which is the first to differ, and by how much. Needs nothing but sanity_check.data: no download, no pretrained model.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from pathlib import Path

import torch
from safetensors import safe_open

from config import LlamaConfig
from llama import Llama

DATA = Path(__file__).with_name("sanity_check.data")
ATOL, RTOL = 1e-5, 1e-4  # valid float32 implementations agree to about 1e-6


def check(norm: str, config: LlamaConfig, tensors: dict[str, torch.Tensor]) -> str | None:
    """Compare one model with its reference: None if all is right, else a sentence about the first difference."""
    weights = {name: tensor.float() for name, tensor in _below(tensors, f"{norm}/weights/").items()}
    weights["output.weight"] = weights["tok_embeddings.weight"]
    model = Llama.from_weights(config, weights)
    found = _outputs(model, tensors[f"{norm}/tokens"])
    problem = _first_difference(found, _below(tensors, f"{norm}/causal/"))
    if problem and not _first_difference(found, _below(tensors, f"{norm}/bidirectional/")):
        return "every position sees the ones after it: attention has no causal mask"
    return problem


@torch.no_grad()
def _outputs(model: Llama, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each layer, the last norm and the output projection give."""
    found = {}
    for i, layer in enumerate(model.layers):
        layer.register_forward_hook(lambda _module, _input, output, name=f"layers.{i}": found.update({name: output}))
    logits, hidden = model(tokens, targets=tokens)
    return found | {"norm": hidden, "output": logits}


def _first_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> str | None:
    for name in sorted(expected, key=lambda name: (not name.startswith("layers"), name)):
        ours, theirs = found[name], expected[name]
        if ours.shape != theirs.shape:
            return f"{name}: the shape is {tuple(ours.shape)}, expected {tuple(theirs.shape)}"
        if not torch.allclose(ours, theirs, atol=ATOL, rtol=RTOL):
            error = (ours - theirs).abs().nan_to_num(nan=float("inf"))
            row, position, channel = (int(i) for i in torch.unravel_index(error.argmax(), error.shape))
            return (
                f"{name}: off by up to {error.max():.3g} (values up to {theirs.abs().max():.3g}), "
                f"most in row {row}, position {position}, channel {channel}"
            )
    return None


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        with safe_open(DATA, framework="pt") as file:
            fields = json.loads(file.metadata()["config"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except Exception as error:
        print(f"{DATA}: cannot be read ({error}); restore it from the handout", file=sys.stderr)
        return 1

    failed = False
    for norm in ("rmsnorm", "layernorm"):
        try:
            problem = check(norm, LlamaConfig(**fields, norm=norm), tensors)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.name} ({Path(place.filename).name}:{place.lineno})"
            todo = isinstance(error, NotImplementedError)
            problem = f"not implemented yet: {where}" if todo else f"{type(error).__name__} in {where}: {error}"
        if problem:
            print(f"{norm}: {problem}")
            failed = True
    if not failed:
        print("Your Llama implementation is correct!")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
