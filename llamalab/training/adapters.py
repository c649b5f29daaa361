"""LoRA adapters in files of their own: a few hundred kilobytes beside the checkpoint they belong to."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from llamalab import course
from llamalab.errors import UserError
from llamalab.files import write_tensors

FORMAT = "llamalab-adapter"


def save_adapter(model: nn.Module, path: str | Path) -> None:
    """Write the adapters of a model, and its classifier head if it has one, as one safetensors file.

    Raises:
        UserError: the model has no adapters.
        OSError: the file cannot be written; what was there then is as it was.
    """
    layers = dict(course.get("lora").lora_layers(model))
    if not layers:
        raise UserError(f"{path}: nothing to save, the model has no LoRA adapters")
    first = next(iter(layers.values()))
    settings = {
        "rank": first.rank,
        "alpha": first.alpha,
        "targets": sorted({name.split(".")[-1] for name in layers}),
    }
    write_tensors(path, _adapter_tensors(model), {"format": FORMAT, "settings": json.dumps(settings)})


def load_adapter(model: nn.Module, path: str | Path) -> nn.Module:
    """Apply the adapters of a file to a model that has none, in place.

    Raises:
        UserError: the file is no adapter, or one for another model; the first tensor that does not fit is named.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not an adapter file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path}: a safetensors file, but not an adapter saved by this project")
    try:
        settings = json.loads(metadata["settings"])
        targets = [str(name) for name in settings["targets"]]
        course.get("lora").apply_lora(model, int(settings["rank"]), float(settings["alpha"]), targets)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: its settings do not fit this model ({error})") from error

    wanted = _adapter_tensors(model)
    if unmatched := sorted(wanted.keys() ^ stored.keys()):
        name = unmatched[0]
        raise UserError(f"{path}: {name} is {'missing' if name in wanted else 'not part of this model'}")
    for name, tensor in wanted.items():
        if tensor.shape != stored[name].shape:
            raise UserError(f"{path}: {name} is {tuple(stored[name].shape)}, the model needs {tuple(tensor.shape)}")
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(stored[name])
    return model


def _adapter_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """What an adapter file holds: both factors of every layer, and the head."""
    parts = ("lora_A", "lora_B", "classifier_head")
    return {name: p for name, p in model.named_parameters() if any(part in name.split(".") for part in parts)}
