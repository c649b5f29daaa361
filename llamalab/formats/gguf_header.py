"""The header of a GGUF file: its metadata and where its tensors lie, without reading a weight.

Layout (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), all little endian:

    "GGUF"  version u32  tensor count u64  key count u64
    per key:    name string, type u32, value            string = length u64, UTF-8 bytes
    per tensor: name string, dimension count u32, dimensions u64 (fastest first), type u32, offset u64
    padding to general.alignment, then the tensor data

Own code rather than gguf.GGUFReader because that turns every vocabulary entry into several numpy objects,
seconds for a real model. Every count and length is checked against the bytes that are left.
"""

import mmap
import struct
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from llamalab.formats.checkpoint import FormatError
from llamalab.formats.checks import reading, regular_file

MAGIC = b"GGUF"

# Value types of the metadata; scalars also have a numpy type, which arrays of them use.
BOOL, STRING, ARRAY = 7, 8, 9
SCALARS = {
    0: np.dtype("<u1"), 1: np.dtype("<i1"), 2: np.dtype("<u2"), 3: np.dtype("<i2"), 4: np.dtype("<u4"),
    5: np.dtype("<i4"), 6: np.dtype("<f4"), BOOL: np.dtype("<u1"), 10: np.dtype("<u8"),
    11: np.dtype("<i8"), 12: np.dtype("<f8"),
}  # fmt: skip

# Tensor types: number -> (name, elements in a block, bytes in a block).
TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip

# Generous for any real model, small enough that a hostile file cannot fill the memory.
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 17
MAX_NAME_BYTES = 1 << 16
MAX_STRING_BYTES = 1 << 26
MAX_STRINGS = 1 << 22  # over all arrays of the file
MAX_NUMBERS = 1 << 24  # in one array
MAX_NESTING = 4
MAX_DIMENSIONS = 4

CLOCK_TICK = 2_000_000_000  # nanoseconds; the coarsest clock of a file system


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor lies; shape in torch's order (slowest dimension first)."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int  # bytes from the start of the file
    nbytes: int


@dataclass
class Header:
    """What a GGUF file says before its weights; `kinds` keeps each key's (type, item type) for copying."""

    version: int
    metadata: dict[str, Any] = field(default_factory=dict)
    kinds: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    tensors: dict[str, TensorInfo] = field(default_factory=dict)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Return the metadata of a GGUF file: str, int, float and bool for scalars, list[str] for arrays of
    strings, numpy arrays for arrays of numbers.

    Raises FormatError when the file is not GGUF, is truncated or claims more than it holds.
    """
    return read_header(path).metadata


def read_header(path: str | Path) -> Header:
    """Return the header of a GGUF file (versions 2 and 3, little endian); raises FormatError.

    The headers of the last files are kept, as long as those do not change: a run asks for the weights, the
    tokenizer and the window in turn. So nobody may change what is returned.
    """
    path = Path(path)
    with reading(path):
        status = regular_file(path).stat()
        state = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        # What was written just now may be written again before the file's clock ticks.
        settled = time.time_ns() - status.st_mtime_ns > CLOCK_TICK
        return (_parsed if settled else _parsed.__wrapped__)(path, state)


@lru_cache(maxsize=2)  # a source, and what it is converted to
def _parsed(path: Path, state: tuple[int, ...]) -> Header:
    with open(path, "rb") as file:
        if not state[1]:
            raise FormatError(f"{path}: the file is empty.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(path, data).header()


class _Reader:
    """A cursor over the mapped bytes of one file."""

    def __init__(self, path: Path, data: mmap.mmap):
        self.path, self.data, self.size = path, data, len(data)
        self.position = 0
        self.strings_left = MAX_STRINGS

    def fail(self, reason: str) -> FormatError:
        return FormatError(f"{self.path}: {reason}.")

    def need(self, count: int) -> int:
        """Advance over `count` bytes and return where they start."""
        start = self.position
        if count > self.size - start:
            raise self.fail(f"the file ends inside the GGUF header (truncated at {self.size} bytes)")
        self.position = start + count
        return start

    def u32(self) -> int:
        return struct.unpack_from("<I", self.data, self.need(4))[0]

    def u64(self) -> int:
        return struct.unpack_from("<Q", self.data, self.need(8))[0]

    def count(self, what: str, limit: int, min_bytes: int) -> int:
        """Read a u64 count of items of at least `min_bytes` each, refusing what cannot fit the file."""
        count = self.u64()
        if count > limit or count * min_bytes > self.size - self.position:
            raise self.fail(f"the GGUF header claims {count} {what}, more than the file can hold")
        return count

    def string(self, what: str, limit: int) -> str:
        length = self.count(f"bytes for {what}", limit, 1)
        start = self.need(length)
        try:
            return str(self.data[start : start + length], "utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(f"{what} in the GGUF header is not UTF-8") from error

    def header(self) -> Header:
        if self.size < 24 or self.data[:4] != MAGIC:
            reason = "truncated" if self.data[:4] == MAGIC else "no GGUF magic"
            raise self.fail(f"not a GGUF file ({reason})")
        self.position = 4
        version = self.u32()
        if version not in (2, 3):
            big = version and version & 0xFFFF == 0
            raise self.fail(
                "big-endian GGUF files are not supported; convert it to little endian"
                if big
                else f"GGUF version {version} is not supported (only 2 and 3)"
            )
        header = Header(version)
        tensor_count = self.count("tensors", MAX_TENSORS, 32)
        key_count = self.count("keys", MAX_KEYS, 13)
        for _ in range(key_count):
            self.key_value(header)
        infos = [self.tensor_info() for _ in range(tensor_count)]
        self.place_tensors(header, infos)
        return header

    def key_value(self, header: Header) -> None:
        key = self.string("a key", MAX_NAME_BYTES)
        if key in header.metadata:
            raise self.fail(f"the GGUF key {key!r} appears twice")
        kind = self.u32()
        value, item_kind = self.value(key, kind, 0)
        header.metadata[key] = value
        header.kinds[key] = kind, item_kind

    def value(self, key: str, kind: int, depth: int) -> tuple[Any, int | None]:
        """Read one value; returns it and, for an array, the type of its items."""
        if kind in SCALARS:
            dtype = SCALARS[kind]
            start = self.need(dtype.itemsize)
            number = np.frombuffer(self.data[start : self.position], dtype)[0].item()
            return (bool(number) if kind == BOOL else number), None
        if kind == STRING:
            return self.string(f"the value of {key!r}", MAX_STRING_BYTES), None
        if kind != ARRAY:
            raise self.fail(f"the GGUF key {key!r} has the unknown type {kind}")
        if depth == MAX_NESTING:
            raise self.fail(f"the GGUF key {key!r} nests arrays deeper than {MAX_NESTING} levels")
        item_kind = self.u32()
        what = f"items for {key!r}"
        if item_kind in SCALARS:
            return self.numbers(item_kind, what), item_kind
        count = self.count(what, self.strings_left, 8 if item_kind == STRING else 12)
        self.strings_left -= count
        if item_kind == STRING:
            return self.strings(key, count), item_kind
        return [self.value(key, item_kind, depth + 1)[0] for _ in range(count)], item_kind

    def numbers(self, kind: int, what: str) -> np.ndarray:
        dtype = SCALARS[kind]
        count = self.count(what, MAX_NUMBERS, dtype.itemsize)
        start = self.need(count * dtype.itemsize)
        array = np.frombuffer(self.data[start : self.position], dtype)
        return array != 0 if kind == BOOL else array

    def strings(self, key: str, count: int) -> list[str]:
        """Read `count` strings in one pass: this is nearly all the time a vocabulary takes."""
        data, position, size = self.data, self.position, self.size
        length_at = struct.Struct("<Q").unpack_from
        pieces = []
        try:
            for _ in range(count):
                start = position + 8
                position = start + length_at(data, position)[0]
                if position > size:
                    raise struct.error
                pieces.append(str(data[start:position], "utf-8"))
        except struct.error:
            raise self.fail(f"the file ends inside the strings of {key!r} (truncated)") from None
        except UnicodeDecodeError as error:
            raise self.fail(f"item {len(pieces)} of {key!r} is not UTF-8") from error
        self.position = position
        return pieces

    def tensor_info(self) -> TensorInfo:
        """Read one tensor's entry; its offset is still relative to the start of the tensor data."""
        name = self.string("a tensor name", MAX_NAME_BYTES)
        n_dimensions = self.u32()
        if not 1 <= n_dimensions <= MAX_DIMENSIONS:
            raise self.fail(f"the tensor {name!r} claims {n_dimensions} dimensions")
        shape = tuple(self.u64() for _ in range(n_dimensions))[::-1]
        kind, offset = self.u32(), self.u64()
        if kind not in TENSOR_TYPES:
            raise self.fail(f"the tensor {name!r} has the unknown type {kind}")
        type_name, block, block_bytes = TENSOR_TYPES[kind]
        if 0 in shape or shape[-1] % block:
            raise self.fail(f"the tensor {name!r} of type {type_name} has the impossible shape {list(shape)}")
        return TensorInfo(name, shape, type_name, offset, prod(shape) // block * block_bytes)

    def place_tensors(self, header: Header, infos: list[TensorInfo]) -> None:
        """Turn relative offsets into absolute ones and check that every tensor has its own bytes."""
        alignment = header.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self.fail(f"general.alignment is {alignment!r}, not a power of two")
        data_start = -(-self.position // alignment) * alignment
        end = 0
        for info in sorted(infos, key=lambda info: info.offset):
            if info.name in header.tensors:
                raise self.fail(f"the tensor {info.name!r} appears twice")
            if info.offset < end or info.offset % alignment:
                raise self.fail(f"the tensor {info.name!r} overlaps another or is not aligned")
            end = info.offset + info.nbytes
            if data_start + end > self.size:
                raise self.fail(
                    f"the tensor {info.name!r} ends at byte {data_start + end} but the file has {self.size} "
                    "(truncated; fetch it again)"
                )
            header.tensors[info.name] = replace(info, offset=data_start + info.offset)
