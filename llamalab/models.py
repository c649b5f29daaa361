"""Which model to run, and everything that goes with it: weights, tokenizer, device."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from llamalab import assets, course, formats, places
from llamalab.errors import UserError
from llamalab.single_row import share_single_rows
from llamalab.speed import fuse

if TYPE_CHECKING:
    from llama import Llama
    from tokenizer import Tokenizer

DEFAULTS = ("stories42M", "smollm2")  # tried in this order when the user names no model
LLAMA2_VOCAB = 32000


def pick_device(use_gpu: bool) -> torch.device:
    """The device to run on.

    Raises:
        UserError: a GPU was asked for and this machine or this build of torch has none.
    """
    if not use_gpu:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    reason = "this torch is a CPU build" if torch.version.cuda is None else "no GPU was found"
    raise UserError(f"--use_gpu: {reason}; leave the option out to run on the CPU")


@dataclass
class LoadedModel:
    """A model ready to run, in evaluation mode."""

    llama: Llama
    tokenizer: Tokenizer
    path: Path


def choose(named: str | None) -> tuple[Path, str]:
    """The checkpoint to use and why: the named one, or else the first default that has been fetched.

    Raises:
        UserError: the named file does not exist, or no default has been fetched.
    """
    if named is not None:
        for path in (Path(named), places.home() / "ckpt" / named):
            if path.exists():
                return path, "named by --pretrained-model-path"
        raise UserError(f"{named}: no such checkpoint; `python -m llamalab.assets list` shows what can be fetched")
    for name in DEFAULTS:
        if path := assets.locate(name):
            return path, f"the first of {', '.join(DEFAULTS)} that is here"
    raise UserError("no pretrained model is here; fetch one with `python -m llamalab.assets fetch smollm2`")


def announce(named: str | None) -> Path:
    """Choose a checkpoint and say on stderr which and why."""
    path, reason = choose(named)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    print(f"model: {shown} ({reason})", file=sys.stderr)
    return path


def open_model(named: str | None, precision: str, use_gpu: bool) -> LoadedModel:
    """What a command does first: choose a model, say which and why on stderr, and load it.

    Args:
        named: the value of ``--pretrained-model-path``.
        precision: "float32" runs the model as it is written; "bfloat16", "float16" and "int8" are for speed (on a
            CPU through ``llamalab.fast.fused``).
        use_gpu: from ``--use_gpu``.
    """
    device = pick_device(use_gpu)
    path = announce(named)
    if device.type != "cpu":
        if precision == "int8":
            raise UserError("--dtype int8 runs on the CPU only; with --use_gpu take bfloat16, float16 or float32")
        return load(path, getattr(torch, precision), device)
    loaded = load(path, device=device)
    if precision == "float32":
        share_single_rows(loaded.llama)
    else:
        print(f"packing the weights in {precision}", file=sys.stderr)
        fuse(loaded.llama, precision)
    return loaded


def load(path: Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> LoadedModel:
    """Read a checkpoint and the tokenizer that belongs to it.

    Raises:
        formats.FormatError: the file is damaged, foreign or hostile.
        UserError: no tokenizer fits the model.
    """
    checkpoint = formats.load(path, dtype=dtype)
    config = course.get("config").LlamaConfig(**checkpoint.config)
    llama = course.model("llama").from_weights(config, checkpoint.weights).to(device)
    tokenizer = _tokenizer(checkpoint.path, checkpoint.tokenizer, checkpoint.config["vocab_size"])
    return LoadedModel(llama, tokenizer, Path(path))


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer that belongs to a checkpoint, without reading its weights.

    Raises:
        formats.FormatError: the file is damaged, foreign or hostile.
        UserError: no tokenizer fits the model.
    """
    contents = formats.inspect(path)
    return _tokenizer(path, contents["tokenizer"], contents["config"]["vocab_size"])


def _tokenizer(path: Path, source: str | Path | None, vocab_size: int) -> Tokenizer:
    if source is None and vocab_size == LLAMA2_VOCAB:
        source = assets.locate("llama2-tokenizer")
        if source is None:
            raise UserError(
                f"{path} uses the Llama 2 tokenizer, which is not here; "
                "fetch it with `python -m llamalab.assets fetch llama2-tokenizer`"
            )
    if source is None:
        raise UserError(f"{path} has {vocab_size} tokens, but no tokenizer of that size lies beside it")
    tokenizer = course.get("tokenizer").Tokenizer(tokenizer_model=source)
    if tokenizer.n_words > vocab_size:
        raise UserError(f"{source} has {tokenizer.n_words} tokens, more than the {vocab_size} of {path}")
    return tokenizer
