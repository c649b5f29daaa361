"""Damaged, foreign and hostile files: one sentence, no other exception, no memory spent on a lie."""

from __future__ import annotations

import json
import os
import random
import resource
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llamalab import formats
from tests.unit.test_formats_round_trips import tiny, write

FLIPS = 300


def read(path: Path) -> bool:
    """Read a file in every way; whether it could be read. A refusal must be one sentence naming the file."""
    try:
        formats.inspect(path)
        formats.load(path)
        formats.load(path, dtype=None)
    except formats.FormatError as error:
        message = str(error)
        assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message, message
        return False
    return True


def flip(data: bytes, chosen: random.Random, start: int, stop: int) -> bytes:
    """Change one to four bytes between start and stop."""
    changed = bytearray(data)
    for _ in range(chosen.choice([1, 1, 2, 4])):
        at = chosen.randrange(start, stop)
        changed[at] = chosen.choice(
            [0, 0x7F, 0xFF, chosen.randrange(256), changed[at] ^ 1 << chosen.randrange(8)]
        )
    return bytes(changed)


def parts(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.iterdir())


@pytest.fixture
def checkpoint(tmp_path, request) -> Path:
    """A small checkpoint of the format that the test asks for."""
    return write(tiny(n_layers=1), tmp_path, request.param)


every_format = pytest.mark.parametrize("checkpoint", formats.FORMATS, indirect=True)


@every_format
def test_a_file_cut_at_any_place_is_refused(checkpoint):
    for part in parts(checkpoint):
        data = part.read_bytes()
        lengths = {
            *range(0, min(len(data), 40)),
            *range(0, len(data), max(1, len(data) // 60)),
            len(data) - 1,
        }
        for length in sorted(lengths):
            part.write_bytes(data[:length])
            # Without its last newline JSON is still whole.
            assert not read(checkpoint) or (part.suffix == ".json" and length == len(data) - 1), length
        part.write_bytes(data)
    assert read(checkpoint)


@every_format
def test_flipped_bytes_in_a_header_are_refused_or_harmless(checkpoint):
    chosen = random.Random(0)
    for part in parts(checkpoint):
        data = part.read_bytes()
        for _ in range(FLIPS // len(parts(checkpoint))):
            part.write_bytes(flip(data, chosen, 0, min(len(data), chosen.choice([48, 400, 2000]))))
            read(checkpoint)
        part.write_bytes(data)


def test_flipped_bytes_in_the_directory_of_a_zip_archive_are_refused_or_harmless(tmp_path):
    chosen = random.Random(1)
    path = write(tiny(n_layers=1), tmp_path, "llama2c-pt")
    data = path.read_bytes()
    for _ in range(FLIPS):
        path.write_bytes(flip(data, chosen, len(data) - 2000, len(data)))
        read(path)


def test_flipped_bytes_in_a_pickle_are_refused_or_harmless(tmp_path):
    chosen = random.Random(2)
    path = write(tiny(n_layers=1), tmp_path, "llama2c-pt")
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    for _ in range(FLIPS):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in entries.items():
                damaged = name.endswith("data.pkl")
                archive.writestr(name, flip(data, chosen, 0, len(data)) if damaged else data)
        read(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("checkpoint", ["llamalab", "huggingface"], indirect=True)
@given(data=st.data())
def test_any_value_in_any_field_of_a_config_is_refused_or_harmless(checkpoint, data):
    path = checkpoint / "config.json"
    original = path.read_text()
    try:
        fields = json.loads(original)
        inner = fields.get("config", fields)
        for _ in range(data.draw(st.integers(1, 2))):
            owner = data.draw(st.sampled_from([fields, inner]))
            owner[data.draw(st.sampled_from([*owner, "rope_parameters"]))] = data.draw(json_values)
        path.write_text(json.dumps(fields))
        read(checkpoint)
    finally:
        path.write_text(original)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from([b"", b"GGUF", b"GGUF\x03\0\0\0", b"PK\x03\x04", b"\x80\x02", b"24ka\x01\0\0\0"]),
    rest=st.binary(max_size=400),
)
def test_random_bytes_behind_any_magic_are_refused(tmp_path, start, rest):
    path = tmp_path / "random"
    path.write_bytes(start + rest)
    assert not read(path)


def test_random_bytes_as_safetensors_are_refused(tmp_path):
    path = write(tiny(n_layers=1), tmp_path, "llamalab")
    for header in (b"", b"\0" * 8, struct.pack("<Q", 1 << 60), struct.pack("<Q", 2) + b"{}", os.urandom(200)):
        (path / "model.safetensors").write_bytes(header)
        assert not read(path)


@pytest.mark.parametrize(
    "name, content",
    [
        ("text.gguf", b"This is a letter, not a model.\n" * 100),
        ("image.pt", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ("script.bin", b"#!/bin/sh\necho hello there, this is a script\n"),
        ("empty.gguf", b""),
        ("zeros.bin", bytes(100_000)),
        ("page.pt", b"<!DOCTYPE html><html><title>404 Not Found</title></html>"),
    ],
)
def test_a_foreign_file_is_refused_whatever_its_name_claims(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        formats.FormatError, match=f"{name}: (not a checkpoint of any known format|the file is empty)"
    ):
        formats.load(tmp_path / name)


def test_the_format_is_judged_by_content_not_by_name(tmp_path):
    formats.save(tiny(), tmp_path / "m.gguf")
    for name in ("m.pt", "m.bin", "m"):
        (tmp_path / name).write_bytes((tmp_path / "m.gguf").read_bytes())
        assert formats.detect(tmp_path / name) == "gguf"


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    for name in ("gone", "pipe", "loop", "folder", "gone/below", "nul\0l", "long" * 2000):
        assert not read(tmp_path / name)


def test_a_safetensors_file_alone_is_refused_with_the_remedy(tmp_path):
    path = write(tiny(), tmp_path, "llamalab") / "model.safetensors"
    with pytest.raises(formats.FormatError, match="give its directory"):
        formats.load(path)


def test_a_config_of_neither_kind_and_one_nested_without_end_are_refused(tmp_path):
    for content in ("{}", "[]", '{"format": "onnx"}', "[" * 100_000, '{"a":' * 100_000, "9" * 10_000):
        (tmp_path / "config.json").write_text(content)
        assert not read(tmp_path)


def test_lies_about_size_cost_no_memory(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    huge = dict(vocab_size=2**30, dim=2**20, n_layers=2**30, n_heads=2, n_kv_heads=1, hidden_dim=2**20)
    numbers = [huge[key] for key in ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size")]
    (tmp_path / "v1.bin").write_bytes(
        struct.pack("<4s9iB", b"24ka", 1, *numbers, 64, 1, 0).ljust(5000, b"\0")
    )
    (tmp_path / "v0.bin").write_bytes(
        struct.pack("<7i", 2**16, 2**19, 2**12, 2, 1, 2**23, 2**23).ljust(5000, b"\0")
    )
    native = write(tiny(), tmp_path, "llamalab")
    fields = json.loads((native / "config.json").read_text())
    (native / "config.json").write_text(json.dumps(fields | {"config": huge}))
    header = json.dumps(
        {"tok_embeddings.weight": {"dtype": "F32", "shape": [2**30, 2**20], "data_offsets": [0, 2**52]}}
    )
    lying = write(tiny(), tmp_path / "lying", "llamalab")
    (lying / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(64))
    torch.save({"model_args": huge, "model": {"norm.weight": torch.zeros(2)}}, tmp_path / "m.pt")
    for path in (tmp_path / "v0.bin", tmp_path / "v1.bin", native, lying, tmp_path / "m.pt"):
        assert not read(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024  # KiB
