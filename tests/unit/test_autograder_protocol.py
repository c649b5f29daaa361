"""Messages between grader and worker: exact when honest, refused when not."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest

from autograder.worker import protocol
from autograder.worker.protocol import MessageLimits, ProtocolError


def frame(header: object, body: bytes = b"") -> bytes:
    """A message with any header at all."""
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack(">I", len(data)) + data + body


def tensor(dtype: object = "float32", shape: object = (1,), **more) -> dict:
    return {"values": {}, "tensors": {"x": {"dtype": dtype, "shape": shape, **more}}}


@pytest.mark.parametrize("name", protocol.DTYPES)
def test_every_dtype_comes_back_as_it_was(name):
    array = np.arange(6).astype("u2").view(protocol.DTYPES[name]) if name == "bfloat16" else None
    array = np.arange(6).astype(protocol.DTYPES[name]) if array is None else array
    found = protocol.decode(protocol.encode({"x": array.reshape(2, 3)}))["x"]
    assert protocol.dtype_name(found) == name and found.shape == (2, 3) and found.tobytes() == array.tobytes()


def test_values_and_arrays_travel_together():
    message = {"a": [1, {"b": None}], "x": np.zeros((0, 3), "f4"), "scalar": np.array(2.5), "text": "ü"}
    found = protocol.decode(protocol.encode(message))
    assert found["a"] == [1, {"b": None}] and found["text"] == "ü"
    assert found["x"].shape == (0, 3) and found["scalar"] == 2.5 and found["scalar"].shape == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, np.array(["a"]), np.array([None])])
def test_what_is_not_plain_cannot_be_sent(value):
    with pytest.raises(ProtocolError):
        protocol.encode({"x": value})


@pytest.mark.parametrize(
    "data",
    [
        frame(b"{"),
        frame(b"[]"),
        frame(b"\xff\xfe"),
        frame(b"[" * 100_000),
        frame({"values": {}}),
        frame({"values": {}, "tensors": {}, "more": 1}),
        frame({"values": [], "tensors": {}}),
        frame(b'{"values": {"a": 1, "a": 2}, "tensors": {}}'),
        frame(b'{"values": {"a": NaN}, "tensors": {}}'),
        frame(b'{"values": {"a": -Infinity}, "tensors": {}}'),
        frame(b'{"values": {"a": 1e999}, "tensors": {}}'),
        frame(b'{"values": {"a": ' + b"9" * 10_000 + b'}, "tensors": {}}'),
        frame({"values": {"x": 1}, "tensors": {"x": {"dtype": "uint8", "shape": [1]}}}, b"1"),
        frame({"values": {"n" * 201: 1}, "tensors": {}}),
        frame({"values": {}, "tensors": {"n" * 201: {"dtype": "uint8", "shape": [0]}}}),
        frame({"values": {}, "tensors": {"x": "float32"}}),
        frame(tensor("object"), b"12345678"),
        frame(tensor(["float32"]), b"1234"),
        frame(tensor("float32", [1], pickle="yes"), b"1234"),
        frame(tensor(shape=[-1]), b"1234"),
        frame(tensor(shape=[True]), b"1234"),
        frame(tensor(shape=[1.0]), b"1234"),
        frame(tensor(shape="1"), b"1234"),
        frame(tensor(shape=[1] * 9), b"1234"),
        frame(tensor(shape=[1 << 40])),
        frame(tensor(shape=[1 << 13, 1 << 13, 1 << 13])),
        frame(tensor(shape=[0, 1 << 26, 1 << 26, 1 << 26])),
        frame(tensor(shape=[2]), b"1234"),
        frame(tensor(shape=[1]), b"12345"),
        struct.pack(">I", 1 << 31),
        b"",
        b"\0\0",
        b"Results: all tests passed, 100/100\n",
    ],
)
def test_a_malformed_message_is_refused(data):
    with pytest.raises(ProtocolError):
        protocol.decode(data)


def test_too_many_tensors_are_refused():
    header = {"values": {}, "tensors": {str(i): {"dtype": "uint8", "shape": [0]} for i in range(1001)}}
    with pytest.raises(ProtocolError, match="1001 tensors"):
        protocol.decode(frame(header))


def test_sizes_are_refused_before_anything_is_read():
    class Greedy(io.BytesIO):
        def read(self, count=-1):
            assert count <= MessageLimits().header
            return super().read(count)

    with pytest.raises(ProtocolError, match="bytes of tensors"):
        protocol.read(Greedy(frame(tensor(shape=[1 << 13, 1 << 13]))))


def test_a_stream_that_ends_early_is_told_from_a_malformed_one():
    data = protocol.encode({"x": np.zeros(4, "f4")})
    for length in range(len(data)):
        with pytest.raises(EOFError):
            protocol.read(io.BytesIO(data[:length]))


def test_booleans_are_booleans_whatever_the_bytes():
    found = protocol.decode(frame(tensor("bool", [3]), b"\x00\x01\x7f"))["x"]
    assert found.tolist() == [False, True, True] and (found == True).sum() == 2  # noqa: E712


@pytest.mark.parametrize("piece", [1, 3, 7, 1000])
def test_a_message_in_pieces_is_complete_exactly_at_its_end(piece):
    data = protocol.encode({"a": 1, "x": np.arange(5)})
    assembly = protocol.Assembly()
    for start in range(0, len(data), piece):
        assert not assembly.complete
        assembly.add(data[start : start + piece])
    assert assembly.complete and bytes(assembly.data) == data


def test_what_follows_a_message_is_dropped():
    data = protocol.encode({"a": 1})
    assembly = protocol.Assembly()
    assembly.add(data + b"forged" + data)
    assert bytes(assembly.data) == data


def test_pieces_over_the_limit_are_refused_at_once():
    with pytest.raises(ProtocolError):
        protocol.Assembly().add(struct.pack(">I", 1 << 30))
