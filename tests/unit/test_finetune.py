"""The training loop: what a step is, and that a run can stop anywhere and continue."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from base_llama import LlamaConfig
from classifier import LlamaEmbeddingClassifier
from llama import Llama
from llamalab import formats
from llamalab.data.sentences import Example, pad_right
from llamalab.errors import Interrupted, UserError
from llamalab.fast.prefixes import read_last_tokens
from llamalab.training import finetune
from llamalab.training.finetune import Loop, Settings, Split, batch_loss, epoch_batches, evaluate
from llamalab.training.runs import Run
from lora import apply_lora, get_lora_optimizer_params
from optimizer import AdamW

VOCAB = 40


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCAB, dim=24, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=40, max_seq_len=32
    )
    llama = Llama(config)
    path = tmp_path_factory.mktemp("model") / "tiny"
    formats.save(formats.Checkpoint(config.to_dict(), llama.state_dict(), "llamalab", path, None), path)
    return path


def split(name: str, n: int, seed: int) -> Split:
    """Sentences of unequal length whose first token decides the label."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(VOCAB, (1 + i % 9,), generator=generator).tolist() for i in range(n)]
    return Split(name, [Example(row[0] % 3, " ".join(map(str, row))) for row in rows], rows)


TRAIN, DEV = split("train.txt", 33, 1), split("dev.txt", 14, 2)
SETTINGS = Settings(epochs=3, batch_size=4, lr=0.01, seed=5)


def build(checkpoint, option: str = "finetune", dropout: float = 0.3, lr: float = SETTINGS.lr):
    torch.manual_seed(0)
    config = SimpleNamespace(
        pretrained_model_path=checkpoint, num_labels=3, hidden_dropout_prob=dropout, option=option
    )
    classifier = LlamaEmbeddingClassifier(config)
    if option == "lora":
        apply_lora(classifier, rank=2, alpha=4.0)
    assert read_last_tokens(classifier.llama)
    return classifier, AdamW(get_lora_optimizer_params(classifier), lr=lr)


def fit(checkpoint, folder, settings=SETTINGS, option="finetune", resume=False, training=TRAIN, dev=DEV):
    classifier, optimizer = build(checkpoint, option, lr=settings.lr)
    run = Run(folder, {"option": option, "lr": settings.lr, "epochs": settings.epochs})
    Loop(classifier, optimizer, 0, training, dev, settings, run).train(resume)
    return classifier


def weights(classifier) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in classifier.named_parameters()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def log(folder) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_training_learns_what_there_is_to_learn(checkpoint, tmp_path):
    classifier = fit(checkpoint, tmp_path / "run", Settings(epochs=12, batch_size=4, lr=0.01, seed=5), dev=TRAIN)
    assert evaluate(classifier, 0, TRAIN, SETTINGS).accuracy > 0.9


def test_an_epoch_has_as_many_steps_as_plain_batching_and_sees_every_example_once():
    batches = epoch_batches([len(row) for row in TRAIN.rows], SETTINGS, epoch=0)
    assert len(batches) == 9
    assert sorted(sum(batches, [])) == list(range(33))


def test_each_epoch_and_each_seed_has_batches_of_its_own():
    lengths = [len(row) for row in TRAIN.rows]
    first = epoch_batches(lengths, SETTINGS, 0)
    assert first == epoch_batches(lengths, SETTINGS, 0)
    assert first != epoch_batches(lengths, SETTINGS, 1)
    assert first != epoch_batches(lengths, Settings(3, 4, 0.01, seed=6), 0)


def test_accumulated_batches_equal_one_large_batch_of_unequal_lengths(checkpoint, tmp_path):
    def gradients(batch_size, grad_accum):
        classifier, _ = build(checkpoint, dropout=0.0)
        classifier.double()
        optimizer = torch.optim.SGD(classifier.parameters(), lr=0.0)
        settings = Settings(1, batch_size, 0.0, 5, grad_accum)
        loop = finetune.Loop(
            classifier, optimizer, 0, TRAIN, DEV, settings, Run(tmp_path, {}), finetune.Position()
        )
        loop.step(epoch_batches([len(row) for row in TRAIN.rows], settings, 0)[1])
        return {name: p.grad for name, p in classifier.named_parameters()}

    small, large = gradients(4, 3), gradients(12, 1)
    for name in large:
        torch.testing.assert_close(small[name], large[name], rtol=1e-9, atol=1e-13)


def test_a_step_follows_the_mean_loss_of_plain_padded_batches(checkpoint):
    classifier, _ = build(checkpoint, dropout=0.0)
    del classifier.llama.forward
    ids, mask = pad_right(TRAIN.rows[:8], 0)
    expected = F.nll_loss(classifier(ids, mask), torch.tensor(TRAIN.labels[:8]))
    assert read_last_tokens(classifier.llama)
    losses, _ = batch_loss(classifier, 0, TRAIN, range(8))
    torch.testing.assert_close(losses.mean(), expected)


class Killed(BaseException):
    """Nothing in the loop catches this, so nothing is tidied up, as after a SIGKILL."""


@pytest.mark.parametrize("option", ["finetune", "lora"])
@pytest.mark.parametrize("dies_at", [1, 9, 12, 26, 27])
def test_a_run_killed_after_any_step_and_resumed_equals_an_unbroken_one(
    checkpoint, tmp_path, monkeypatch, option, dies_at
):
    whole = fit(checkpoint, tmp_path / "whole", option=option)
    step = finetune.Loop.step

    def step_then_die(self, indices):
        step(self, indices)
        if self.position.total_steps == dies_at:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(finetune.Loop, "step", step_then_die)
        patch.setattr(finetune, "SAVE_SECONDS", -1)
        fit(checkpoint, tmp_path / "broken", option=option)
    resumed = fit(checkpoint, tmp_path / "broken", option=option, resume=True)
    assert_same(weights(resumed), weights(whole))
    assert log(tmp_path / "broken") == log(tmp_path / "whole")


def test_a_kill_before_anything_was_saved_starts_over(checkpoint, tmp_path):
    whole = fit(checkpoint, tmp_path / "whole")
    Run(tmp_path / "broken", {"option": "finetune", "lr": 0.01, "epochs": 3}).start()
    assert_same(weights(fit(checkpoint, tmp_path / "broken", resume=True)), weights(whole))


def test_ctrl_c_finishes_the_step_and_loses_nothing(checkpoint, tmp_path, monkeypatch):
    whole = fit(checkpoint, tmp_path / "whole")
    step = finetune.Loop.step

    def step_with_ctrl_c(self, indices):
        if self.position.total_steps == 13:
            signal.raise_signal(signal.SIGINT)
        step(self, indices)

    monkeypatch.setattr(finetune.Loop, "step", step_with_ctrl_c)
    with pytest.raises(Interrupted):
        fit(checkpoint, tmp_path / "broken")
    monkeypatch.undo()
    assert log(tmp_path / "broken")[-1]["step"] == 14
    assert_same(weights(fit(checkpoint, tmp_path / "broken", resume=True)), weights(whole))


def test_ctrl_c_during_the_evaluation_keeps_the_whole_epoch(checkpoint, tmp_path, monkeypatch):
    whole = fit(checkpoint, tmp_path / "whole")
    monkeypatch.setattr(finetune, "evaluate", lambda *_: signal.raise_signal(signal.SIGINT) or _raise(Interrupted))
    with pytest.raises(Interrupted):
        fit(checkpoint, tmp_path / "broken")
    monkeypatch.undo()
    assert_same(weights(fit(checkpoint, tmp_path / "broken", resume=True)), weights(whole))
    assert log(tmp_path / "broken") == log(tmp_path / "whole")


def _raise(error):
    raise error


def test_the_second_ctrl_c_stops_at_once():
    with pytest.raises(KeyboardInterrupt), finetune._ctrl_c() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        signal.raise_signal(signal.SIGINT)


def test_the_classifier_ends_with_the_weights_of_its_best_epoch(checkpoint, tmp_path):
    classifier = fit(checkpoint, tmp_path / "run")
    epochs = [record for record in log(tmp_path / "run") if "step" not in record]
    assert evaluate(classifier, 0, DEV, SETTINGS).accuracy == max(record["dev_accuracy"] for record in epochs)


def test_a_loss_that_is_not_a_number_stops_with_step_and_batch(checkpoint, tmp_path):
    with pytest.raises(UserError, match=r"not a number at step \d+ \(epoch \d\), on a batch of \d .* smaller --lr"):
        fit(checkpoint, tmp_path / "run", Settings(epochs=3, batch_size=4, lr=1e30, seed=5))


def test_dev_without_labels_keeps_the_last_epoch(checkpoint, tmp_path):
    unlabelled = Split("dev.txt", [Example(-1, "x")] * len(DEV.rows), DEV.rows)
    fit(checkpoint, tmp_path / "run", dev=unlabelled)
    assert Run(tmp_path / "run", {}).best_path.exists()
    assert log(tmp_path / "run")[-1]["dev_accuracy"] is None


def test_more_epochs_can_be_added_to_a_finished_run(checkpoint, tmp_path):
    whole = fit(checkpoint, tmp_path / "whole", Settings(5, 4, 0.01, 5))
    fit(checkpoint, tmp_path / "parts", Settings(2, 4, 0.01, 5))
    assert_same(weights(fit(checkpoint, tmp_path / "parts", Settings(5, 4, 0.01, 5), resume=True)), weights(whole))


def test_an_unfinished_run_is_not_overwritten(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "evaluate", lambda *_: _raise(Interrupted))
    with pytest.raises(Interrupted):
        fit(checkpoint, tmp_path / "run")
    with pytest.raises(UserError, match="stopped in epoch 1 of 3; add --resume"):
        fit(checkpoint, tmp_path / "run")


def test_a_run_continues_only_with_its_own_settings(checkpoint, tmp_path):
    fit(checkpoint, tmp_path / "run")
    with pytest.raises(UserError, match=r"started with lr = 0.01, not 0.02"):
        fit(checkpoint, tmp_path / "run", Settings(3, 4, 0.02, 5), resume=True)


def test_there_must_be_something_to_resume(checkpoint, tmp_path):
    with pytest.raises(UserError, match="no run to continue"):
        fit(checkpoint, tmp_path / "run", resume=True)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 9])
def test_a_damaged_state_is_one_sentence(checkpoint, tmp_path, content):
    fit(checkpoint, tmp_path / "run")
    (tmp_path / "run" / "state.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"state.safetensors cannot be read"):
        fit(checkpoint, tmp_path / "run", resume=True)


def test_lora_moves_only_adapters_and_head(checkpoint, tmp_path):
    before = weights(build(checkpoint, "lora")[0])
    after = weights(fit(checkpoint, tmp_path / "run", option="lora"))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(("lora_" in name) or ("classifier_head" in name) for name in moved)


def test_bfloat16_autocast_keeps_weights_and_losses_in_float32(checkpoint, tmp_path):
    classifier = fit(checkpoint, tmp_path / "run", Settings(1, 4, 0.01, 5, dtype=torch.bfloat16))
    losses, _ = batch_loss(classifier, 0, TRAIN, range(4), torch.bfloat16)
    assert losses.dtype == torch.float32
    assert {p.dtype for p in classifier.parameters()} == {torch.float32}
