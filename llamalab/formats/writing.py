"""Writing so that a failure leaves what was there: a temporary name beside the target, then one rename."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from llamalab import files
from llamalab.formats.checkpoint import FormatError

# What a checkpoint directory of ours may hold, so what replacing one may remove.
OWN_FILES = {
    "config.json", "model.safetensors", "generation_config.json", "special_tokens_map.json",
    "tokenizer_config.json", "chat_template.jinja", "tokenizer.json", "tokenizer.model", "tokenizer.bin",
    "tokenizer.gguf",
}  # fmt: skip


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that becomes `path` if the block succeeds and is removed if it does not."""
    with _writing(path) as target:
        if target.is_dir():
            raise FormatError(f"{path}: a directory is in the way of the file to be written.")
        with files.atomic(target, durable=True) as file:
            yield file


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary directory that becomes `path` if the block succeeds.

    A checkpoint directory in the way is replaced whole; a directory that holds anything else is refused.
    """
    with _writing(path) as target:
        refuse_foreign_directory(target)
        temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.part")
        try:
            temporary.mkdir()
            yield temporary
            _move_directory(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def refuse_foreign_directory(path: Path) -> None:
    """Raise FormatError when `path` exists and is anything but a directory of checkpoint files."""
    if not path.exists():
        return
    if not path.is_dir():
        raise FormatError(f"{path}: a file is in the way of the directory to be written.")
    foreign = sorted(entry.name for entry in path.iterdir() if entry.name not in OWN_FILES)
    if foreign:
        raise FormatError(f"{path}: not replaced, because it also holds {foreign[0]!r}.")


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    """Yield the target with links resolved, its folder made; system errors become FormatError."""
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield target
    except OSError as error:
        raise FormatError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _move_directory(temporary: Path, target: Path) -> None:
    """Rename a finished directory into place, putting an old one back if that fails."""
    if not target.exists():
        os.rename(temporary, target)
        return
    old = temporary.with_suffix(".old")
    os.rename(target, old)
    try:
        os.rename(temporary, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
