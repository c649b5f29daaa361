"""python -m llamalab.formats: look into checkpoints and convert them."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from llamalab import command, formats

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
EXAMPLES = """examples:
  python -m llamalab.formats inspect ckpt/stories42M.pt
  python -m llamalab.formats inspect model.gguf --tensors --json | head
  python -m llamalab.formats convert ckpt/stories42M.pt ckpt/stories42M          # a llamalab directory
  python -m llamalab.formats convert model.gguf hf_model --to huggingface --dtype bfloat16
  python -m llamalab.formats convert hf_model model.gguf --force
"""


def main(argv: Sequence[str] | None = None, prog: str = "python -m llamalab.formats") -> int:
    """Run one command; returns its exit status."""
    return command.run(_parser(prog), argv, failed=1)


def _parser(prog: str) -> argparse.ArgumentParser:
    about = "Look into checkpoints and convert between formats: " + ", ".join(formats.FORMATS) + "."
    parser = command.parser(prog, about, EXAMPLES)
    add = command.sub_commands(parser)
    convert = add("convert", _convert, "Write a checkpoint in another format.")
    convert.add_argument("source", metavar="SRC", type=Path, help="checkpoint file or directory, of any format")
    target = "what to write; .gguf, .bin and .pt name their format"
    convert.add_argument("target", metavar="DST", type=Path, help=target)
    convert.add_argument("--to", choices=formats.FORMATS, help="format of DST (default: by its suffix, else llamalab)")
    convert.add_argument("--dtype", choices=DTYPES, help="of the written weights (default: as in SRC)")
    convert.add_argument("--force", action="store_true", help="replace DST if it exists")
    inspect = add("inspect", _inspect, "Show format, config, size and tokenizer, reading no weights.")
    inspect.add_argument("file", metavar="FILE", type=Path, help="checkpoint file or directory")
    inspect.add_argument("--json", action="store_true", help="print JSON instead of text")
    inspect.add_argument("--tensors", action="store_true", help="list every tensor: name, type, shape")
    return parser


def _convert(options: argparse.Namespace) -> None:
    source, target = options.source, options.target
    to = options.to or formats.format_for(target)
    if os.path.lexists(target) and not options.force:
        raise formats.FormatError(f"{target}: exists already; give --force to replace it.")
    if to == "llama2c-bin" and options.dtype not in (None, "float32"):
        raise formats.FormatError(f"{target}: llama2.c .bin files are float32; leave --dtype {options.dtype} out.")
    _progress(f"reading {source}")
    checkpoint = formats.load(source, DTYPES.get(options.dtype))
    _progress(f"writing {target}")
    formats.save(checkpoint, target, to)
    written = formats.inspect(target)
    tokenizer = "with its tokenizer" if written["tokenizer"] else "without a tokenizer"
    print(f"{target}: {to}, {written['parameters']:,} parameters, {tokenizer}")


def _progress(message: str) -> None:
    if sys.stderr.isatty():
        print(message, file=sys.stderr)


def _inspect(options: argparse.Namespace) -> None:
    found = formats.inspect(options.file)
    if not options.tensors:
        del found["tensors"]
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        _print_text(found)


def _print_text(found: dict[str, Any]) -> None:
    print(f"{found['path']}: {found['format']}, {found['parameters']:,} parameters")
    print(f"tokenizer      {found['tokenizer'] or 'none'}")
    print(f"chat template  {'yes' if found['chat_template'] else 'no'}")
    for key, value in found["config"].items():
        print(f"{key:<14} {json.dumps(value)}")
    for tensor in found.get("tensors", []):
        shape = " x ".join(map(str, tensor["shape"]))
        print(f"{tensor['name']:<44} {tensor['dtype']:<6} {shape}")


if __name__ == "__main__":
    sys.exit(main())
