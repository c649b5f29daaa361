"""The two classifiers: what they compute, and that padding cannot change it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from classifier import LlamaEmbeddingClassifier, LlamaZeroShotClassifier, last_real
from config import LlamaConfig
from llama import Llama
from llamalab import formats

ROWS = [[5, 6, 7, 8, 9], [10, 11], [12]]


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    llama = Llama(LlamaConfig(vocab_size=50, dim=24, n_layers=2, n_heads=3, n_kv_heads=1, max_seq_len=20))
    path = tmp_path_factory.mktemp("checkpoint") / "model"
    formats.save(formats.Checkpoint(llama.config.to_dict(), llama.state_dict(), "llamalab", path, None), path)
    return path


def config(path: Path, **fields) -> SimpleNamespace:
    fields = dict(num_labels=3, hidden_dropout_prob=0.5, option="finetune") | fields
    return SimpleNamespace(pretrained_model_path=path, **fields)


def padded(side: str) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = torch.full((3, 6), 3), torch.zeros(3, 6, dtype=torch.long)
    for i, row in enumerate(ROWS):
        place = slice(0, len(row)) if side == "right" else slice(6 - len(row), 6)
        ids[i, place], mask[i, place] = torch.tensor(row), 1
    return ids, mask


class Letters:
    """A tokenizer of 26 letters, enough to name labels."""

    def encode(self, text, bos, eos):
        return [ord(letter) - ord("a") for letter in text]


@pytest.mark.parametrize("side", ["left", "right"])
def test_last_real_ignores_padding(side):
    ids, mask = padded(side)
    hidden = ids[..., None].float()
    assert last_real(hidden, mask).flatten().tolist() == [9, 11, 12]
    assert last_real(hidden, None).flatten().tolist() == hidden[:, -1, 0].tolist()


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_does_not_change_a_classification(path, side):
    model = LlamaEmbeddingClassifier(config(path)).eval()
    ids, mask = padded(side)
    alone = torch.cat([model(torch.tensor([row])) for row in ROWS])
    torch.testing.assert_close(model(ids, mask), alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_head_reads_the_last_hidden_state_and_gives_log_probabilities(path):
    model = LlamaEmbeddingClassifier(config(path)).eval()
    ids = torch.tensor([ROWS[0]])
    hidden = model.llama(ids)[1][:, -1]
    torch.testing.assert_close(model(ids), F.log_softmax(model.classifier_head(hidden), dim=-1))
    torch.testing.assert_close(model(ids).exp().sum(), torch.tensor(1.0))


def test_dropout_acts_on_the_pooled_state_in_training(path):
    model = LlamaEmbeddingClassifier(config(path)).train()
    ids = torch.tensor([ROWS[0]])
    assert not torch.equal(model(ids), model(ids))


@pytest.mark.parametrize(("option", "learns"), [("finetune", True), ("pretrain", False), ("prompt", False)])
def test_the_option_decides_whether_the_language_model_learns(path, option, learns):
    model = LlamaEmbeddingClassifier(config(path, option=option))
    assert all(p.requires_grad == learns for p in model.llama.parameters())
    assert model.classifier_head.weight.requires_grad


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_zero_shot_scores_a_label_by_its_tokens_at_the_last_position(path, side):
    model = LlamaZeroShotClassifier(config(path, num_labels=2), Letters(), ["no", "yes"]).eval()
    ids, mask = padded(side)
    scores = model(ids, mask)
    for row, score in zip(ROWS, scores, strict=True):
        log_probs = F.log_softmax(model.llama(torch.tensor([row]))[0][0, -1], dim=-1)
        expected = torch.stack([sum(log_probs[ord(c) - ord("a")] for c in name) for name in ("no", "yes")])
        torch.testing.assert_close(score, expected, atol=1e-5, rtol=0)


def test_zero_shot_learns_nothing_and_wants_a_name_for_every_label(path):
    model = LlamaZeroShotClassifier(config(path, num_labels=2), Letters(), ["no", "yes"])
    assert not any(p.requires_grad for p in model.parameters())
    with pytest.raises(ValueError, match="2 label names for 3 labels"):
        LlamaZeroShotClassifier(config(path), Letters(), ["no", "yes"])
