"""Writing so that a reader never sees half a file, and locks that go when their process does."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from llamalab.errors import UserError

if TYPE_CHECKING:
    import torch


@contextlib.contextmanager
def atomic(path: str | Path, mode: int | None = None, durable: bool = False) -> Iterator[BinaryIO]:
    """Yield a temporary file beside ``path``, open for writing, that becomes ``path`` once the block has succeeded.

    Whatever the block raises, ``path`` is then as it was and the temporary file is gone. A library that opens its files
    itself is given ``file.name``. A link is followed, and a device or pipe, which nothing could replace, is written to
    as it is.

    Args:
        mode: the permissions; None is what the umask leaves of 0o666. A secret never lies there readable before that.
        durable: on the disk for good when this returns, power cuts included; costs some milliseconds.

    Raises:
        OSError: the folder does not exist, is read-only or is full; its ``filename`` is ``path``.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.exists() and not target.is_file():
        with open(target, "wb") as file:
            yield file
        return
    temporary = str(target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.part"))

    def create(name: str, flags: int) -> int:
        return os.open(name, flags, 0o666 if mode is None else mode)

    try:
        with open(temporary, "xb", opener=create) as file:
            yield file
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            with open(temporary, "rb") as written:  # another file, where a library put its own in this one's place
                os.fchmod(written.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode))
                if durable:
                    os.fsync(written.fileno())
        replace(temporary, target, durable)
    except OSError as error:
        if error.filename in (None, temporary):  # which nobody has heard of
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def replace(source: str | Path, target: str | Path, durable: bool = True) -> None:
    """Move a finished file to its place in one step, for good if ``durable``; raises OSError."""
    os.replace(source, target)
    if durable:
        folder = os.open(os.path.dirname(target) or ".", os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sha256(path: str | Path) -> str:
    """The sha256 of a file, in hexadecimal; OSError where it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: str | Path, data: bytes, mode: int | None = None, durable: bool = False) -> None:
    """Write a whole file or nothing; arguments and errors are those of ``atomic``."""
    with atomic(path, mode, durable) as file:
        file.write(data)


def write_text(path: str | Path, text: str, mode: int | None = None, durable: bool = False) -> None:
    """Write UTF-8 text with the line ends it has, whole or not at all; see ``atomic``."""
    write_bytes(path, text.encode("utf-8"), mode, durable)


def write_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, durably, whole or not at all; see ``atomic``."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic(path, durable=True) as file:
        try:
            save_file({name: t.detach().contiguous() for name, t in tensors.items()}, file.name, dict(metadata))
        except SafetensorError as error:
            raise OSError(f"{path}: cannot be written ({error})") from error


@contextlib.contextmanager
def locked(path: str | Path, busy: str, wait: bool = False) -> Iterator[bool]:
    """Hold the lock that a file stands for; the file is made if need be and stays. The lock goes with the process.

    Args:
        busy: one sentence for the user, of what it means that somebody else has the lock.
        wait: say so on stderr and wait, instead of giving up.

    Yields:
        whether the lock is held: False only on a file system without locks.

    Raises:
        UserError: ``busy``, unless ``wait``.
        OSError: the file can be neither made nor opened.
    """
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if not wait:
                raise UserError(busy) from None
            print(busy, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            yield False
            return
        yield True
