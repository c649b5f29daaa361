"""llama2.c's .bin and .pt files, written here by hand in the order that llama2.c documents."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from llamalab import formats
from llamalab.formats import llama2c_pt
from llamalab.vocab.tokenizer_files import count_llama2c_tokens
from tests.unit.test_formats_round_trips import SIZES, assert_same, tiny

LAYERS = range(SIZES["n_layers"])
NUMBERS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")


def bin_file(checkpoint: formats.Checkpoint, version: int, group: int = 8) -> bytes:
    """A .bin file as llama2.c's export.py lays it out."""
    w, config = checkpoint.weights, checkpoint.config

    def stack(part: str) -> list[torch.Tensor]:
        return [w[f"layers.{i}.{part}.weight"] for i in LAYERS]

    matrices = sum((stack(f"attention.compute_{part}") for part in ("query", "key", "value", "output")), [])
    feed_forward = stack("feed_forward.w1") + stack("feed_forward.w2") + stack("feed_forward.w3")
    output = [] if config["tie_embeddings"] else [w["output.weight"]]
    numbers = [config[name] for name in NUMBERS]
    if version == 0:
        numbers[5] *= 1 if config["tie_embeddings"] else -1
        rope = [torch.full((24, 4), 9.0), torch.full((24, 4), -9.0)]
        order = [w["tok_embeddings.weight"], *stack("attention_norm"), *matrices, *stack("ffn_norm")]
        order += [*feed_forward, w["norm.weight"], *rope, *output]
        return struct.pack("<7i", *numbers) + b"".join(tensor.numpy().tobytes() for tensor in order)
    header = struct.pack("<Ii7iB", 0x616B3432, version, *numbers, config["tie_embeddings"])
    header = (header + struct.pack("<i", group) if version == 2 else header).ljust(256, b"\0")
    norms = [*stack("attention_norm"), *stack("ffn_norm"), w["norm.weight"]]
    rest = [w["tok_embeddings.weight"], *matrices, *feed_forward, *output]
    encode = (
        (lambda tensor: quantise(tensor, group)[0])
        if version == 2
        else lambda tensor: tensor.numpy().tobytes()
    )
    return header + b"".join(tensor.numpy().tobytes() for tensor in norms) + b"".join(map(encode, rest))


def quantise(tensor: torch.Tensor, group: int) -> tuple[bytes, torch.Tensor]:
    """llama2.c's Q8_0: the bytes, and the tensor they stand for."""
    groups = tensor.reshape(-1, group)
    scale = groups.abs().amax(dim=1) / 127
    numbers = (groups / scale[:, None]).round()
    decoded = (numbers * scale[:, None]).reshape(tensor.shape)
    return numbers.to(torch.int8).numpy().tobytes() + scale.numpy().tobytes(), decoded


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("version", [0, 1])
def test_a_float_bin_file_is_read_in_llama2c_s_order(tmp_path, version, tied):
    checkpoint = tiny(tie_embeddings=tied)
    (tmp_path / "m.bin").write_bytes(bin_file(checkpoint, version))
    assert_same(formats.load(tmp_path / "m.bin"), checkpoint)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_quantised_bin_file_gives_the_numbers_it_stands_for(tmp_path, tied):
    checkpoint = tiny(tie_embeddings=tied)
    (tmp_path / "m.bin").write_bytes(bin_file(checkpoint, version=2))
    loaded = formats.load(tmp_path / "m.bin").weights
    for name, weight in checkpoint.weights.items():
        expected = weight if "norm" in name else quantise(weight, 8)[1]
        assert torch.equal(loaded[name], expected), name


def test_our_bin_file_is_llama2c_s_but_for_the_tables_that_it_skips(tmp_path):
    for tied in (True, False):
        checkpoint = tiny(tie_embeddings=tied)
        formats.save(checkpoint, tmp_path / "m.bin")
        ours, theirs = (tmp_path / "m.bin").read_bytes(), bin_file(checkpoint, version=0)
        end = len(theirs) - (0 if tied else 67 * 48 * 4)
        start = end - 2 * 24 * 4 * 4
        assert ours[:start] == theirs[:start] and ours[end:] == theirs[end:]
        cosines, sines = np.frombuffer(ours[start:end], "<f4").reshape(2, 24, 4)
        angles = np.outer(np.arange(24), 10000.0 ** -(np.arange(4) / 4))
        np.testing.assert_allclose(cosines, np.cos(angles), atol=1e-6)
        np.testing.assert_allclose(sines, np.sin(angles), atol=1e-6)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_bin_file_of_the_wrong_length_is_refused_with_both_lengths(tmp_path, version):
    data = bin_file(tiny(), version)
    for wrong, reason in [
        (data[:-1], "truncated"),
        (data[:300], "truncated"),
        (data + b"\0", "not a llama2.c"),
    ]:
        (tmp_path / "m.bin").write_bytes(wrong)
        with pytest.raises(
            formats.FormatError, match=f"has {len(wrong)} bytes, but .* {len(data)} .*{reason}"
        ):
            formats.load(tmp_path / "m.bin")


def test_a_bin_header_that_claims_too_much_is_refused(tmp_path):
    for numbers in [(64, 64, 2**31 - 1, 4, 4, 64, 64), (2**31 - 2, 8, 1, 1, 1, 8, 8)]:
        header = struct.pack("<Ii7iB", 0x616B3432, 1, *numbers, 1).ljust(256, b"\0")
        (tmp_path / "m.bin").write_bytes(header)
        with pytest.raises(formats.FormatError, match="has 256 bytes, but its header asks for"):
            formats.load(tmp_path / "m.bin")


def test_an_unknown_bin_version_and_a_senseless_group_are_refused(tmp_path):
    data = bytearray(bin_file(tiny(), version=2))
    data[37:41] = struct.pack("<i", 7)
    (tmp_path / "m.bin").write_bytes(data)
    with pytest.raises(formats.FormatError, match="group size 7"):
        formats.load(tmp_path / "m.bin")
    data[4:8] = struct.pack("<i", 3)
    (tmp_path / "m.bin").write_bytes(data)
    with pytest.raises(formats.FormatError, match="version 3 is not supported"):
        formats.load(tmp_path / "m.bin")


def tokenizer_bin(size: int) -> bytes:
    pieces = [f"piece{i}".encode() for i in range(size)]
    return struct.pack("<i", 9) + b"".join(struct.pack("<fi", -i, len(p)) + p for i, p in enumerate(pieces))


def test_the_tokenizer_is_the_one_beside_that_fits_the_vocabulary(tmp_path):
    formats.save(tiny(), tmp_path / "model.bin")
    formats.save(tiny(), tmp_path / "model.pt")

    def found() -> set[Path | None]:
        return {formats.load(tmp_path / name).tokenizer for name in ("model.bin", "model.pt")}

    assert found() == {None}
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_bin(66))
    (tmp_path / "tok_broken.bin").write_bytes(tokenizer_bin(67)[:-1])
    (tmp_path / "token.model").write_bytes(b"no sentencepiece model")
    (tmp_path / "tokens.model").write_bytes(b"")
    assert found() == {None}
    (tmp_path / "tok67.bin").write_bytes(tokenizer_bin(67))
    assert found() == {tmp_path / "tok67.bin"}
    (tmp_path / "tok67b.bin").write_bytes(tokenizer_bin(67))
    assert found() == {None}


def test_a_tokenizer_travels_into_our_directory(tmp_path):
    formats.save(tiny(), tmp_path / "model.bin")
    (tmp_path / "tok67.bin").write_bytes(tokenizer_bin(67))
    formats.save(formats.load(tmp_path / "model.bin"), tmp_path / "native")
    tokenizer = formats.load(tmp_path / "native").tokenizer
    assert tokenizer == tmp_path / "native" / "tokenizer.bin"
    assert tokenizer.read_bytes() == tokenizer_bin(67)


def test_a_sentencepiece_model_beside_is_preferred_to_the_bin_made_from_it(tmp_path):
    import sentencepiece

    text = "the quick brown fox jumps over a lazy dog 0123456789".split() * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_prefix=str(tmp_path / "tokenizer"), vocab_size=40, minloglevel=2
    )
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_bin(40))
    formats.save(tiny(vocab_size=40), tmp_path / "model.pt")
    assert formats.load(tmp_path / "model.pt").tokenizer == tmp_path / "tokenizer.model"


@pytest.mark.parametrize("junk", [b"", b"abcd", b"\0\0\0\0" + b"\xff" * 20, tokenizer_bin(3) + b"x"])
def test_a_damaged_tokenizer_bin_is_no_tokenizer(tmp_path, junk):
    (tmp_path / "tokenizer.bin").write_bytes(junk)
    assert count_llama2c_tokens(tmp_path / "tokenizer.bin") in (None, 0)


ARGUMENTS = {key: value for key, value in SIZES.items()} | {
    "multiple_of": 32,
    "norm_eps": 1e-5,
    "dropout": 0.0,
}
SPELLINGS = {"wq": "compute_query", "wk": "compute_key", "wv": "compute_value", "wo": "compute_output"}


def state_of(checkpoint: formats.Checkpoint, spelling: str = "wq", prefix: str = "") -> OrderedDict:
    """A state dict in llama2.c's or the courses' spelling."""
    state = OrderedDict()
    for name, weight in checkpoint.weights.items():
        for theirs, ours in SPELLINGS.items():
            name = name.replace(ours, theirs) if spelling == "wq" else name
        state[prefix + name] = weight
    return state


@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
@pytest.mark.parametrize("spelling", ["wq", "compute_query"])
def test_a_pt_file_is_read_in_either_spelling_with_or_without_the_compiler_s_prefix(
    tmp_path, spelling, prefix
):
    state = state_of(tiny(), spelling, prefix)
    torch.save({"model_args": ARGUMENTS, "model": state}, tmp_path / "m.pt")
    assert_same(formats.load(tmp_path / "m.pt"), tiny())


def test_buffers_and_the_trainer_s_own_entries_are_left_alone(tmp_path):
    state = state_of(tiny())
    state["freqs_cos"] = state["freqs_sin"] = torch.zeros(24, 4)
    state["layers.0.attention.mask"] = torch.zeros(1, 1, 24, 24)
    optimizer = {
        "state": {0: {"step": torch.tensor(5.0), "exp_avg": torch.zeros(3)}},
        "param_groups": [{"lr": 1e-3}],
    }
    everything = {
        "optimizer": optimizer,
        "iter_num": 100,
        "best_val_loss": torch.tensor(1.0),
        "config": {"device": "cpu"},
    }
    torch.save({"model_args": ARGUMENTS, "model": state} | everything, tmp_path / "m.pt")
    assert_same(formats.load(tmp_path / "m.pt"), tiny())


def test_an_unknown_tensor_in_a_pt_file_is_named(tmp_path):
    state = state_of(tiny()) | {"layers.0.attention.wq.lora_A": torch.zeros(2, 48)}
    torch.save({"model_args": ARGUMENTS, "model": state}, tmp_path / "m.pt")
    with pytest.raises(formats.FormatError, match="'layers.0.attention.wq.lora_A' has no place"):
        formats.load(tmp_path / "m.pt")


@pytest.mark.parametrize("without", ["hidden_dim", "norm_eps", "dropout", "multiple_of", "max_seq_len"])
def test_model_args_that_a_course_leaves_out_have_the_usual_values(tmp_path, without):
    arguments = {key: value for key, value in ARGUMENTS.items() if key != without}
    checkpoint = tiny(max_seq_len=1024 if without == "max_seq_len" else 24)
    if without == "hidden_dim":
        arguments.pop("multiple_of")  # nothing but the tensors says how wide it is
    torch.save({"model_args": arguments, "model": state_of(checkpoint)}, tmp_path / "m.pt")
    assert_same(formats.load(tmp_path / "m.pt"), checkpoint)


def test_key_value_heads_left_out_are_as_many_as_heads(tmp_path):
    for heads in ({}, {"n_kv_heads": None}):
        arguments = {key: value for key, value in ARGUMENTS.items() if key != "n_kv_heads"} | heads
        torch.save({"model_args": arguments, "model": state_of(tiny(n_kv_heads=6))}, tmp_path / "m.pt")
        assert formats.load(tmp_path / "m.pt").config["n_kv_heads"] == 6


def test_whether_the_output_is_tied_is_decided_by_the_weights(tmp_path):
    tied, untied = state_of(tiny()), state_of(tiny(tie_embeddings=False))
    tied["output.weight"] = tied["tok_embeddings.weight"].clone()
    torch.save({"model_args": ARGUMENTS, "model": tied}, tmp_path / "equal.pt")
    assert formats.load(tmp_path / "equal.pt").config["tie_embeddings"] is True
    del tied["output.weight"]
    torch.save({"model_args": ARGUMENTS, "model": tied}, tmp_path / "absent.pt")
    assert formats.load(tmp_path / "absent.pt").config["tie_embeddings"] is True
    torch.save({"model_args": ARGUMENTS, "model": untied}, tmp_path / "different.pt")
    assert formats.load(tmp_path / "different.pt").config["tie_embeddings"] is False
    torch.save({"model_args": ARGUMENTS | {"tie_embeddings": True}, "model": untied}, tmp_path / "lie.pt")
    with pytest.raises(formats.FormatError, match="output weights differ from the embeddings"):
        formats.load(tmp_path / "lie.pt")


def test_our_pt_file_is_spelled_as_llama2c_spells_it(tmp_path):
    formats.save(tiny(), tmp_path / "m.pt")
    saved = torch.load(tmp_path / "m.pt", weights_only=True)
    assert saved["model_args"] == ARGUMENTS
    assert saved["model"].keys() == state_of(tiny()).keys()
    assert saved["model"]["output.weight"].data_ptr() == saved["model"]["tok_embeddings.weight"].data_ptr()


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


ATTACKS = {
    "posix.system": lambda marker: Calls(os.system, f"touch {marker}"),
    "builtins.eval|__builtin__.eval": lambda marker: Calls(builtins.eval, f"open({str(marker)!r}, 'w')"),
    "builtins.bytearray|__builtin__.bytearray": lambda marker: Calls(bytearray, 1 << 40),
    "torch._utils._rebuild_meta_tensor_no_storage": lambda marker: Calls(
        torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (1 << 40,), (1,), False
    ),
    "pathlib.": lambda marker: Path("x"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_pickle_that_asks_for_code_is_not_opened_and_says_what_for(tmp_path, name, protocol):
    attack = ATTACKS[name](tmp_path / "marker")
    checkpoint = {"model_args": ARGUMENTS, "model": state_of(tiny()), "extra": [attack]}
    torch.save(checkpoint, tmp_path / "zip.pt", pickle_protocol=max(protocol, 2))
    (tmp_path / "bare.pt").write_bytes(pickle.dumps({"extra": [attack]}, protocol=max(protocol, 2)))
    with zipfile.ZipFile(tmp_path / "made.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(attack, protocol=protocol))
    for file in ("zip.pt", "bare.pt", "made.pt"):
        pattern = (
            rf"{file}: asks to run code on loading \(({name.replace('.', '[.]')}).*\); it was not opened"
        )
        for read in (formats.load, formats.inspect):
            with pytest.raises(formats.FormatError, match=pattern):
                read(tmp_path / file)
    assert not (tmp_path / "marker").exists()


class Everything:
    """A set that holds whatever one asks for."""

    def __contains__(self, item: object) -> bool:
        return True


def test_torch_refuses_code_too_should_our_own_check_ever_miss_it(tmp_path, monkeypatch):
    monkeypatch.setattr(llama2c_pt, "HARMLESS", Everything())
    attack = Calls(os.system, f"touch {tmp_path / 'marker'}")
    torch.save({"model_args": ARGUMENTS, "model": state_of(tiny()), "extra": attack}, tmp_path / "m.pt")
    with pytest.raises(formats.FormatError, match="torch cannot load it"):
        formats.load(tmp_path / "m.pt")
    assert not (tmp_path / "marker").exists()


def test_a_tensor_that_claims_more_elements_than_it_stores_is_refused(tmp_path):
    state = state_of(tiny(vocab_size=1 << 20))
    state["tok_embeddings.weight"] = torch.zeros(1).expand(1 << 20, 48)
    del state["output.weight"]
    torch.save({"model_args": ARGUMENTS | {"vocab_size": 1 << 20}, "model": state}, tmp_path / "m.pt")
    assert (tmp_path / "m.pt").stat().st_size < 1 << 20
    with pytest.raises(formats.FormatError, match="'tok_embeddings.weight' claims more elements"):
        formats.load(tmp_path / "m.pt")


def test_many_tensors_on_the_same_bytes_are_refused(tmp_path):
    memory = torch.zeros(48 * 67)
    state = {
        name: memory[: w.numel()].view(w.shape) for name, w in state_of(tiny(tie_embeddings=False)).items()
    }
    torch.save({"model_args": ARGUMENTS, "model": state}, tmp_path / "m.pt")
    with pytest.raises(formats.FormatError, match="claim more bytes than the file stores"):
        formats.load(tmp_path / "m.pt")


def test_integer_weights_are_refused_by_name(tmp_path):
    state = state_of(tiny()) | {"norm.weight": torch.ones(48, dtype=torch.int64)}
    torch.save({"model_args": ARGUMENTS, "model": state}, tmp_path / "m.pt")
    with pytest.raises(formats.FormatError, match="'norm.weight' is torch.int64"):
        formats.load(tmp_path / "m.pt")


@pytest.mark.parametrize(
    "content", [[1, 2], {"model": {}}, {"model_args": 3, "model": {}}, {"a": torch.zeros(2)}], ids=repr
)
def test_a_pt_file_of_something_else_is_named_as_such(tmp_path, content):
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(formats.FormatError, match="holds no 'model_args' and 'model'"):
        formats.load(tmp_path / "m.pt")


def test_pickles_outside_an_archive_and_compressed_archives_are_refused(tmp_path):
    torch.save({"model": {}}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(formats.FormatError, match="a bare pickle"):
        formats.load(tmp_path / "old.pt")
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    with pytest.raises(formats.FormatError, match="compressed archive"):
        formats.load(tmp_path / "bomb.pt")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    with pytest.raises(formats.FormatError, match="not one that torch.save wrote"):
        formats.load(tmp_path / "other.pt")
