"""python -m llamalab.formats as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from llamalab import formats
from llamalab.formats.__main__ import main
from tests.unit.test_formats_round_trips import assert_same, tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def source(tmp_path) -> Path:
    formats.save(tiny(), tmp_path / "source.pt")
    return tmp_path / "source.pt"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("name", ["m.gguf", "m.bin", "m"])
def test_convert_goes_by_the_suffix_and_says_what_it_wrote(tmp_path, source, capsys, name):
    assert run("convert", source, tmp_path / name) == 0
    out, err = capsys.readouterr()
    assert (
        out
        == f"{tmp_path / name}: {formats.detect(tmp_path / name)}, 39,264 parameters, without a tokenizer\n"
    )
    assert err == ""
    assert_same(formats.load(tmp_path / name), tiny())


def test_convert_takes_a_format_and_a_dtype(tmp_path, source):
    assert run("convert", source, tmp_path / "hf", "--to", "huggingface", "--dtype", "bfloat16") == 0
    assert formats.detect(tmp_path / "hf") == "huggingface"
    weights = formats.load(tmp_path / "hf", dtype=None).weights
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert run("convert", tmp_path / "hf", tmp_path / "kept.pt") == 0
    kept = formats.load(tmp_path / "kept.pt", dtype=None).weights
    assert all(torch.equal(kept[name], weight) for name, weight in weights.items())


def test_convert_replaces_nothing_without_force(tmp_path, source, capsys):
    (tmp_path / "m.gguf").write_text("mine")
    assert run("convert", source, tmp_path / "m.gguf") == 1
    assert (
        capsys.readouterr().err
        == f"llamalab.formats: {tmp_path / 'm.gguf'}: exists already; give --force to replace it.\n"
    )
    assert (tmp_path / "m.gguf").read_text() == "mine"
    assert run("convert", source, tmp_path / "m.gguf", "--force") == 0
    assert_same(formats.load(tmp_path / "m.gguf"), tiny())


def test_convert_can_replace_its_own_source(tmp_path):
    formats.save(tiny(), tmp_path / "m")
    assert run("convert", tmp_path / "m", tmp_path / "m", "--force", "--dtype", "float16") == 0
    assert formats.load(tmp_path / "m", dtype=None).weights["norm.weight"].dtype == torch.float16


def test_a_conversion_that_fails_leaves_the_old_file_and_no_other(tmp_path, source, capsys):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF\x03\0\0\0")
    (tmp_path / "m.bin").write_text("mine")
    before = set(tmp_path.iterdir())
    assert run("convert", tmp_path / "bad.gguf", tmp_path / "m.bin", "--force") == 1
    assert run("convert", source, tmp_path / "m.bin", "--force", "--dtype", "float16") == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and all(line.startswith("llamalab.formats: ") for line in errors)
    assert "leave --dtype float16 out" in errors[1]
    assert set(tmp_path.iterdir()) == before and (tmp_path / "m.bin").read_text() == "mine"


def test_inspect_prints_the_config_and_on_request_the_tensors(source, capsys):
    assert run("inspect", source) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{source}: llama2c-pt, 39,264 parameters\n")
    assert "\nn_kv_heads     2\n" in text and "\ntokenizer      none\n" in text
    assert "attention.wq" not in text
    assert run("inspect", source, "--tensors") == 0
    assert "layers.2.attention.wk.weight" in capsys.readouterr().out


def test_inspect_prints_json(source, capsys):
    assert run("inspect", source, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"]["n_kv_heads"] == 2 and "tensors" not in found
    assert run("inspect", source, "--json", "--tensors") == 0
    assert json.loads(capsys.readouterr().out) == formats.inspect(source)


def test_the_module_runs_and_stops_quietly_when_its_reader_does(source):
    command = [sys.executable, "-m", "llamalab.formats", "inspect", str(source), "--json", "--tensors"]
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, text=True)
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize("command", [[], ["convert"], ["inspect"]])
def test_help_shows_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*command, "--help")
    assert stop.value.code == 0
    assert "examples:\n  python -m llamalab.formats inspect" in capsys.readouterr().out


def test_reading_checkpoints_imports_no_heavy_package():
    heavy = ["gguf", "transformers", "tokenizers", "sentencepiece", "safetensors"]
    code = f"import sys, llamalab.formats; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
