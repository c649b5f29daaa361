"""The project's own checkpoint directories."""

from __future__ import annotations

import json
import stat

import pytest

from llamalab import formats
from tests.unit.test_formats_round_trips import assert_same, tiny


@pytest.fixture
def saved(tmp_path):
    formats.save(tiny(), tmp_path / "m")
    return tmp_path / "m"


def edit(directory, **fields) -> None:
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | fields))


def test_the_directory_holds_the_weights_and_a_config_that_says_what_it_is(saved):
    assert {entry.name for entry in saved.iterdir()} == {"config.json", "model.safetensors"}
    fields = json.loads((saved / "config.json").read_text())
    assert fields == {"format": "llamalab", "version": 1, "config": tiny().config, "tokenizer": None}


def test_weights_are_readable_by_whom_the_config_is(saved):
    modes = {stat.S_IMODE((saved / name).stat().st_mode) for name in ("config.json", "model.safetensors")}
    assert len(modes) == 1


def test_unknown_keys_of_the_config_are_kept(tmp_path):
    checkpoint = tiny(qk_norm=False, source="a course", experts=[1, 2])
    formats.save(checkpoint, tmp_path / "m")
    assert_same(formats.load(tmp_path / "m"), checkpoint)


def test_a_config_value_that_json_cannot_hold_is_refused(tmp_path):
    checkpoint = tiny()
    checkpoint.config["device"] = object()
    with pytest.raises(formats.FormatError, match="config's device is a object"):
        formats.save(checkpoint, tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"version": 2}, "version 2 is not supported"),
        ({"version": "1"}, "version '1' is not supported"),
        ({"config": None}, "field 'config' is missing"),
        ({"config": {"dim": "wide"}}, "dim is 'wide'"),
        ({"config": {"norm": "batchnorm"}}, "norm is 'batchnorm'"),
        ({"config": {"dropout": 1}}, "dropout is 1"),
        ({"config": {"n_layers": True}}, "n_layers is True"),
        ({"config": {"max_seq_len": 10**9}}, "max_seq_len is 1000000000"),
        ({"config": {}}, r"'tok_embeddings.weight' has shape \[67, 48\].*\[32000, 512\]"),
        ({"tokenizer": "../tokenizer.model"}, "not a plain file name"),
        ({"tokenizer": "gone.model"}, "gone.model: no such file"),
        ({"tokenizer": ["a"]}, "names a list"),
    ],
    ids=str,
)
def test_a_config_that_does_not_hold_is_refused_by_field_and_value(saved, fields, reason):
    edit(saved, **fields)
    with pytest.raises(formats.FormatError, match=reason):
        formats.load(saved)


def test_missing_weights_are_named(saved):
    (saved / "model.safetensors").unlink()
    with pytest.raises(formats.FormatError, match="model.safetensors: no such file"):
        formats.load(saved)
