"""The training loop of sentence classifiers, for full finetuning and for LoRA.

What happens in a step depends on the settings, the data and the step's number and on nothing else: batches are drawn
from (seed, epoch) and dropout from (seed, step). So a run that was stopped at any moment and continued computes, on
the CPU, the very numbers of a run that was not.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from llamalab.data.sentences import UNKNOWN, Example, length_batches, pad_right
from llamalab.errors import Interrupted, UserError
from llamalab.training.runs import Position, Run

SAVE_SECONDS = 300  # at most so much work is done again after a kill; Ctrl-C loses nothing


@dataclass(frozen=True)
class Settings:
    """What the loop needs to know.

    Attributes:
        batch_size: sentences that go through the model together.
        grad_accum: batches whose gradients are added up to one step, which then equals a step over one batch of
            ``batch_size * grad_accum`` sentences.
        dtype: torch.bfloat16 runs the model under autocast; the weights stay float32.
    """

    epochs: int
    batch_size: int
    lr: float
    seed: int
    grad_accum: int = 1
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class Split:
    """One data file, ready for the model."""

    name: str
    examples: list[Example]
    rows: list[list[int]]  # token ids

    @property
    def labels(self) -> list[int]:
        return [example.label for example in self.examples]


@dataclass(frozen=True)
class Evaluation:
    """A classifier's answers on a split, in the order of its file."""

    predictions: list[int]
    loss: float | None  # mean over the examples whose label is known; None without any
    accuracy: float | None


@dataclass
class Loop:
    """A run in progress: ``step`` and ``epoch`` move its position, its weights and its log.

    Attributes:
        classifier: (input_ids, attention_mask) -> (B, L) log-probabilities; parameters that are frozen stay so.
        training: its labels are all known.
        dev: decides which epoch is the best. Without known labels the last one counts as best.
        run: where the log, the state and the best weights are written.
    """

    classifier: nn.Module
    optimizer: torch.optim.Optimizer
    pad_id: int
    training: Split
    dev: Split
    settings: Settings
    run: Run
    position: Position = field(default_factory=Position)

    def train(self, resume: bool = False) -> None:
        """Train, evaluate on dev after each epoch and keep the best weights; the classifier ends with these.

        Args:
            resume: continue where ``run`` stopped.

        Raises:
            Interrupted: Ctrl-C was pressed; the run can continue.
            UserError: the loss is not a number any more, or there is nothing to continue.
        """
        if resume:
            self.position = self.run.resume(self.classifier, self.optimizer)
        else:
            self.run.start()
        with _ctrl_c() as stop:
            try:
                while self.position.epoch < self.settings.epochs:
                    self.epoch(stop)
            except Interrupted:
                self.run.save(self.classifier, self.optimizer, self.position)
                raise
        self.run.load_best(self.classifier)

    def epoch(self, stop: threading.Event) -> None:
        """What is left of the current epoch, then dev."""
        position, number = self.position, self.position.epoch + 1
        batches = epoch_batches([len(row) for row in self.training.rows], self.settings, position.epoch)
        self.classifier.train()
        saved = time.monotonic()
        with _bar(f"epoch {number}/{self.settings.epochs}", len(self.training.rows), position.seen) as bar:
            for indices in batches[position.step :]:
                self.step(indices)
                bar.set_postfix(loss=f"{position.loss_sum / position.seen:.3f}", refresh=False)
                bar.update(len(indices))
                if stop.is_set():
                    raise Interrupted
                if time.monotonic() - saved > SAVE_SECONDS:
                    self.run.save(self.classifier, self.optimizer, position)
                    saved = time.monotonic()
        self.finish_epoch(evaluate(self.classifier, self.pad_id, self.dev, self.settings, stop))

    def step(self, indices: list[int]) -> None:
        """Move the weights once, by the mean loss over these examples."""
        position, settings, began = self.position, self.settings, time.perf_counter()
        torch.manual_seed(settings.seed * 1_000_003 + position.total_steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss_sum = 0.0
        for start in range(0, len(indices), settings.batch_size):
            batch = indices[start : start + settings.batch_size]
            losses, correct = batch_loss(self.classifier, self.pad_id, self.training, batch, settings.dtype)
            loss = losses.sum()
            if not math.isfinite(loss.item()):
                self._stop_at_nan(batch)
            (loss / len(indices)).backward()
            loss_sum += loss.item()
            position.correct += correct
        self.optimizer.step()
        position.step += 1
        position.seen += len(indices)
        position.loss_sum += loss_sum
        self.run.log.add(
            {
                "epoch": position.epoch + 1,
                "step": position.total_steps,
                "loss": loss_sum / len(indices),
                "lr": self.optimizer.param_groups[0]["lr"],
                "examples": len(indices),
                "tokens": sum(len(self.training.rows[i]) for i in indices),
                "seconds": round(time.perf_counter() - began, 4),
            }
        )

    def finish_epoch(self, result: Evaluation) -> None:
        """Note how dev went, keep the weights if they are the best so far, and move on."""
        position = self.position
        number = position.epoch + 1
        record = {
            "epoch": number,
            "train_loss": position.loss_sum / position.seen,
            "train_accuracy": position.correct / position.seen,
            "dev_loss": result.loss,
            "dev_accuracy": result.accuracy,
        }
        best = result.accuracy is None or position.best_accuracy is None or result.accuracy > position.best_accuracy
        if best:
            position.best_epoch, position.best_accuracy = number, result.accuracy
            self.run.save_best(self.classifier)
        self.run.log.add(record)
        print(
            f"epoch {number}: train loss {record['train_loss']:.3f}, train accuracy {record['train_accuracy']:.3f}, "
            + ("dev has no labels" if result.accuracy is None else f"dev accuracy {result.accuracy:.3f}")
            + (" (best so far)" if best else ""),
            file=sys.stderr,
        )
        position.epoch, position.steps_before, position.step = number, position.total_steps, 0
        position.loss_sum, position.correct, position.seen = 0.0, 0, 0
        self.run.save(self.classifier, self.optimizer, position)

    def _stop_at_nan(self, batch: list[int]) -> None:
        step = self.position.total_steps + 1
        sentence = self.training.examples[batch[0]].sentence[:60]
        raise UserError(
            f"the loss is not a number at step {step} (epoch {self.position.epoch + 1}), on a batch of {len(batch)} "
            f"examples of {self.training.name} that begins with {sentence!r}; try a smaller --lr than "
            f"{self.settings.lr:g}. What was saved before is in {self.run.folder}"
        )


def epoch_batches(lengths: Sequence[int], settings: Settings, epoch: int) -> list[list[int]]:
    """The examples of each step of an epoch: as many steps as plain batching has."""
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
    return length_batches(lengths, settings.batch_size * settings.grad_accum, generator)


def batch_loss(
    classifier: nn.Module, pad_id: int, split: Split, batch: Sequence[int], dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, int]:
    """Negative log-likelihood of every example of a batch (B,), and how many were answered correctly."""
    log_probs = _log_probs(classifier, pad_id, [split.rows[i] for i in batch], dtype)
    labels = torch.tensor([split.examples[i].label for i in batch], device=log_probs.device)
    correct = (log_probs.argmax(dim=-1) == labels).sum().item()
    return F.nll_loss(log_probs, labels, reduction="none", ignore_index=UNKNOWN), correct


@torch.no_grad()
def evaluate(
    classifier: nn.Module, pad_id: int, split: Split, settings: Settings, stop: threading.Event | None = None
) -> Evaluation:
    """Answer every example of a split.

    Raises:
        Interrupted: ``stop`` was set.
    """
    classifier.eval()
    predictions, losses = [0] * len(split.rows), []
    with _bar(f"evaluating {split.name}", len(split.rows)) as bar:
        for batch in length_batches([len(row) for row in split.rows], settings.batch_size):
            log_probs = _log_probs(classifier, pad_id, [split.rows[i] for i in batch], settings.dtype)
            for i, scores in zip(batch, log_probs.tolist(), strict=True):
                predictions[i] = max(range(len(scores)), key=scores.__getitem__)
                if (label := split.examples[i].label) != UNKNOWN:
                    losses.append((-scores[label], predictions[i] == label))
            bar.update(len(batch))
            if stop is not None and stop.is_set():
                raise Interrupted
    if not losses:
        return Evaluation(predictions, None, None)
    loss, correct = (sum(column) / len(losses) for column in zip(*losses, strict=True))
    return Evaluation(predictions, loss, correct)


def _log_probs(classifier: nn.Module, pad_id: int, rows: list[list[int]], dtype: torch.dtype) -> torch.Tensor:
    device = next(classifier.parameters()).device
    ids, mask = (tensor.to(device) for tensor in pad_right(rows, pad_id))
    autocast = nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)
    with autocast:
        log_probs = classifier(ids, mask)  # (B, L)
    return log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))


def _bar(what: str, total: int, done: int = 0) -> tqdm:
    return tqdm(desc=what, total=total, initial=done, unit=" sentences", leave=False, disable=None, delay=0.5)


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, looked at between steps; a second one stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)
        print("\nstopping after this step; press Ctrl-C again to stop at once", file=sys.stderr)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
