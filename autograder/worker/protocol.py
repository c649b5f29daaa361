"""Messages between the process that grades and the process that runs student code.

A message is a dict of names to arrays and plain JSON values. On the wire it is

    4 bytes   length of the header, big-endian
    header    JSON: {"values": {name: plain JSON}, "tensors": {name: {"dtype": "float32", "shape": [2, 7]}}}
    buffers   the arrays' bytes, in the header's order, little-endian and contiguous

Nothing in it can name a class or run code. The reader believes no number: it checks every size by ``MessageLimits``
before it reads or allocates. Arrays are NumPy's, so that the grading process needs no torch.
"""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

DTYPES = {
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype([("bfloat16", "<u2")]),  # NumPy has none; these two bytes can be carried and named
    "complex64": np.dtype("<c8"),
    "complex128": np.dtype("<c16"),
    "bool": np.dtype("bool"),
    "uint8": np.dtype("u1"),
    "int8": np.dtype("i1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}

OUTPUT, SOURCE = "out.", "source."  # how names begin: of outputs and student files

Message = Mapping[str, Any]


class ProtocolError(Exception):
    """Bytes that are no message, or one over the limits."""


@dataclass(frozen=True)
class MessageLimits:
    """What a reader accepts. Sizes in bytes."""

    header: int = 4 << 20  # a vocabulary of 32,000 and its merges; as objects they take thirty times as much
    total: int = 64 << 20
    tensors: int = 1000
    dimensions: int = 8
    name: int = 200


def named(message: Message, kind: str) -> dict[str, Any]:
    """The values whose names begin with ``OUTPUT`` or ``SOURCE``, by what follows."""
    return {name.removeprefix(kind): value for name, value in message.items() if name.startswith(kind)}


def dtype_name(array: np.ndarray) -> str:
    """``"float32"`` and so on; what NumPy calls it for a type no message can carry."""
    return NAMES.get(array.dtype, str(array.dtype))


def encode(message: Message) -> bytes:
    """One message as bytes.

    Raises:
        ProtocolError: a value that is neither an array of a known type nor plain, finite JSON.
    """
    values, tensors, buffers = {}, {}, []
    for name, value in message.items():
        if isinstance(value, np.ndarray):
            if value.dtype not in NAMES:
                raise ProtocolError(f"{name}: arrays of {value.dtype} cannot be sent")
            tensors[name] = {"dtype": dtype_name(value), "shape": list(value.shape)}
            buffers.append(value.tobytes())
        else:
            values[name] = value
    try:
        header = json.dumps({"values": values, "tensors": tensors}, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"not plain JSON: {error}") from error
    return b"".join([struct.pack(">I", len(header)), header, *buffers])


def decode(data: bytes, limits: MessageLimits = MessageLimits()) -> dict[str, Any]:
    """The message that ``data`` is, whole.

    Raises:
        ProtocolError: as ``read``, or bytes left over.
    """
    stream = io.BytesIO(data)
    try:
        message = read(stream, limits)
    except EOFError:
        raise ProtocolError(f"the message ends after {len(data)} bytes, in the middle of something") from None
    if stream.tell() != len(data):
        raise ProtocolError(f"{len(data) - stream.tell()} bytes after the message")
    return message


def read(stream: BinaryIO, limits: MessageLimits = MessageLimits()) -> dict[str, Any]:
    """The next message of a stream.

    Raises:
        EOFError: the stream ended, in the middle of a message or before it.
        ProtocolError: a message that is malformed or over the limits; the stream cannot be used any more.
    """

    def take(count: int) -> bytes:
        data = stream.read(count)
        if data is None or len(data) < count:
            raise EOFError
        return data

    header = _header(take(_header_length(take(4), limits)))
    values, layout = header["values"], _layout(header["tensors"], limits)
    if any(len(name) > limits.name for name in values):
        raise ProtocolError("a name is too long")
    if values.keys() & header["tensors"].keys():
        raise ProtocolError("a name is used twice")
    return {**values, **{name: _array(take(size), dtype, shape) for name, dtype, shape, size in layout}}


class Assembly:
    """A message that arrives in pieces from someone who may never finish it, or never stop."""

    def __init__(self, limits: MessageLimits = MessageLimits()) -> None:
        self.data = bytearray()
        self.complete = False
        self._limits = limits
        self._wanted = 4

    def add(self, piece: bytes) -> None:
        """Take the next piece; what comes after the end of the message is dropped.

        Raises:
            ProtocolError: what has been seen breaks the limits.
        """
        self.data += piece
        while not self.complete and len(self.data) >= self._wanted:
            self._wanted = _size(self.data, self._limits)
            self.complete = len(self.data) >= self._wanted
        if self.complete:
            del self.data[self._wanted :]


def _size(data: bytes, limits: MessageLimits) -> int:
    """Bytes of the message that begins with ``data``: up to the end of its header, or in all once that is here."""
    length = _header_length(bytes(data[:4]), limits)
    if len(data) < 4 + length:
        return 4 + length
    header = _header(bytes(data[4 : 4 + length]))
    return 4 + length + sum(size for *_, size in _layout(header["tensors"], limits))


def _array(data: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if dtype.kind == "b":  # a byte that is neither 0 nor 1 would be a boolean equal to neither
        return (np.frombuffer(data, dtype="u1") != 0).reshape(shape)
    try:
        return np.frombuffer(data, dtype=dtype).reshape(shape).copy()
    except ValueError as error:  # an empty array whose other sizes multiply to more than NumPy can count
        raise ProtocolError(f"shape {list(shape)}: {error}") from error


def _header_length(prefix: bytes, limits: MessageLimits) -> int:
    (length,) = struct.unpack(">I", prefix)
    if length > limits.header:
        raise ProtocolError(f"a header of {length} bytes; at most {limits.header} are accepted")
    return length


def _header(data: bytes) -> dict[str, dict]:
    """Parse the JSON strictly: no repeated key, no NaN or infinity, exactly the two parts."""
    try:
        header = json.loads(data, object_pairs_hook=_no_repeats, parse_constant=_no_constants, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the header is not valid JSON: {error}") from error
    if not isinstance(header, dict) or header.keys() != {"values", "tensors"}:
        raise ProtocolError("the header must have values and tensors, and nothing else")
    if not all(isinstance(part, dict) for part in header.values()):
        raise ProtocolError("values and tensors must be objects")
    return header


def _layout(tensors: dict[str, Any], limits: MessageLimits) -> list[tuple[str, np.dtype, tuple[int, ...], int]]:
    """(name, dtype, shape, bytes) of every array, each checked, and their sum too."""
    if len(tensors) > limits.tensors:
        raise ProtocolError(f"{len(tensors)} tensors; at most {limits.tensors} are accepted")
    layout, total = [], 0
    for name, entry in tensors.items():
        if len(name) > limits.name:
            raise ProtocolError("a name is too long")
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape"}:
            raise ProtocolError(f"tensor {name!r}: needs dtype and shape, and nothing else")
        dtype, shape = entry["dtype"], entry["shape"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ProtocolError(f"tensor {name!r}: unknown dtype {dtype!r}")
        if not isinstance(shape, list) or len(shape) > limits.dimensions:
            raise ProtocolError(f"tensor {name!r}: a shape is a list of at most {limits.dimensions} sizes")
        if not all(type(size) is int and 0 <= size <= limits.total for size in shape):
            raise ProtocolError(f"tensor {name!r}: sizes must be whole numbers from 0 to {limits.total}")
        size = math.prod(shape) * DTYPES[dtype].itemsize
        total += size
        if total > limits.total:
            raise ProtocolError(f"tensor {name!r}: more than {limits.total} bytes of tensors")
        layout.append((name, DTYPES[dtype], tuple(shape), size))
    return layout


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is repeated")
    return dict(pairs)


def _no_constants(text: str) -> None:
    raise ValueError(f"{text} is not accepted")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number
