"""Submissions of every make, honest and not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from autograder.editions import Edition
from autograder.intake.opening import Refused, open_submission

HERE = Path("courses/small")  # where no file of this edition is: nothing but its names is asked for
EDITION = Edition("small", "A course", HERE / "small.toml", HERE, ("llama.py", "rope.py"), ("config.py",), {})
LLAMA, ROPE = b"class RMSNorm: ...\n", b"def apply_rotary_emb(): ...\n"
FILES = {"llama.py": LLAMA, "rope.py": ROPE}
Entries = Iterable[tuple[str, bytes]]


def folder_of(path: Path, files: Entries) -> Path:
    for name, data in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def zip_of(files: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data, compress_type=method)
    return target.getvalue()


def tar_of(files: Iterable[tuple[str | tarfile.TarInfo, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=format) as archive:
        for name, data in files:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def tar_header(name: bytes, kind: bytes = b"0", size: bytes = b"00000000000\0", prefix: bytes = b"") -> bytes:
    """A header of any fields at all, with the checksum that belongs to it."""
    start = name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size.ljust(12, b"\0") + b"00000000000\0"
    end = kind + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + prefix.ljust(155, b"\0") + bytes(12)
    return start + b"%06o\0 " % (sum(start) + sum(end) + 8 * 32) + end


PACKINGS = {"tar": bytes, "tar.gz": gzip.compress, "tar.bz2": bz2.compress, "tar.xz": lzma.compress}
CONTAINERS = ("folder", "zip", *PACKINGS)
every_container = pytest.mark.parametrize("container", CONTAINERS)


def hand_in(path: Path, content: bytes | dict[str, bytes] | Entries, container: str = "folder") -> Path:
    """A submission at ``path``, whose name does not tell what it is: an archive's bytes, or files in a container."""
    if isinstance(content, bytes):
        path.write_bytes(content)
        return path
    files = content.items() if isinstance(content, dict) else content
    if container == "folder":
        path.mkdir(exist_ok=True)
        return folder_of(path, files)
    path.write_bytes(zip_of(files) if container == "zip" else PACKINGS[container](tar_of(files)))
    return path


@pytest.fixture
def submit(tmp_path) -> Callable[..., Path]:
    """Writes a submission: an archive's bytes, or files in a container."""
    return lambda content, container="folder": hand_in(tmp_path / "ada", content, container)


def pax_tar(records: dict[str, str], kind: bytes = b"x", name: bytes = b"llama.py", data: bytes = b"") -> bytes:
    """A tar of one file that extended attributes describe."""
    body = b""
    for key, value in records.items():
        line = f" {key}={value}\n".encode("utf-8", "surrogateescape")
        length = next(total for total in range(len(line) + 1, len(line) + 9) if len(str(total)) + len(line) == total)
        body += str(length).encode() + line
    return pax_tar_of(body, kind, name, data)


def pax_tar_of(body: bytes, kind: bytes = b"x", name: bytes = b"llama.py", data: bytes = b"") -> bytes:
    return (
        tar_header(b"pax", kind, b"%011o\0" % len(body))
        + padded(body)
        + tar_header(name, b"0", b"%011o\0" % len(data))
        + padded(data)
        + bytes(1024)
    )


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def reason(path: Path) -> str:
    """Why a submission is refused: one sentence that is safe to show."""
    with pytest.raises(Refused) as refusal:
        open_submission(path, EDITION)
    text = refusal.value.reason
    assert text and text.isprintable() and len(text) < 600 and not text.endswith("."), text
    return text
