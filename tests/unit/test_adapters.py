"""Adapters in files of their own."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from config import LlamaConfig
from llama import Llama
from llamalab.errors import UserError
from llamalab.training.adapters import load_adapter, save_adapter
from lora import apply_lora, lora_layers


def classifier(**fields) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Module()
    sizes = dict(vocab_size=50, dim=24, n_layers=2, n_heads=3, n_kv_heads=1) | fields
    model.llama = Llama(LlamaConfig(**sizes)).eval()
    model.classifier_head = nn.Linear(sizes["dim"], 3)
    return model


def trained() -> nn.Module:
    model = apply_lora(classifier(), rank=2, alpha=8.0, targets=("compute_query", "w1"))
    for _, layer in lora_layers(model):
        nn.init.normal_(layer.lora_B)
    nn.init.normal_(model.classifier_head.weight)
    return model


@torch.no_grad()
def test_a_saved_adapter_gives_the_same_model(tmp_path):
    source, tokens = trained(), torch.arange(8).view(2, 4)
    save_adapter(source, tmp_path / "adapter.safetensors")
    copy = load_adapter(classifier(), tmp_path / "adapter.safetensors")
    assert torch.equal(copy.llama(tokens)[0], source.llama(tokens)[0])
    assert torch.equal(copy.classifier_head.weight, source.classifier_head.weight)
    assert [p.name for p in tmp_path.iterdir()] == ["adapter.safetensors"]


def test_the_file_holds_the_adapter_alone(tmp_path):
    save_adapter(trained(), tmp_path / "a")
    numbers = 2 * 2 * (24 + 24) + 2 * 2 * (24 + 64) + 24 * 3 + 3
    assert (tmp_path / "a").stat().st_size < 4 * numbers + 3000


def test_a_model_without_adapters_has_nothing_to_save(tmp_path):
    with pytest.raises(UserError, match="no LoRA"):
        save_adapter(classifier(), tmp_path / "a")


@pytest.mark.parametrize(
    ("fields", "named"), [(dict(dim=48), r"lora_A|classifier_head"), (dict(n_layers=3), "missing")]
)
def test_an_adapter_of_another_model_is_refused_by_name(tmp_path, fields, named):
    save_adapter(trained(), tmp_path / "a")
    with pytest.raises(UserError, match=named):
        load_adapter(classifier(**fields), tmp_path / "a")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("nothing")
    save_file({"x": torch.zeros(1)}, tmp_path / "other")
    for name in ("text", "other", "absent"):
        with pytest.raises(UserError, match=name):
            load_adapter(classifier(), tmp_path / name)
