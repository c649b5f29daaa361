"""A training run on disk: a folder that an interrupted run can continue from, bit for bit.

    settings.json       what the run was started with
    log.jsonl           one line a step and one an epoch
    state.safetensors   everything the next step needs: weights that learn, the optimiser's memory, the position
    best.safetensors    the weights of the epoch with the best accuracy on dev

Every file but the log is replaced in one move; of the log, lines after the state are dropped when a run continues.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from llamalab import files
from llamalab.errors import UserError

FREE = ("epochs", "threads")  # settings that may differ when a run continues


@dataclass
class Position:
    """Where a run stands between two steps, and what it knows of the epoch so far."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the current epoch
    steps_before: int = 0  # finished steps of all epochs before it
    loss_sum: float = 0.0  # over the current epoch's examples
    correct: int = 0
    seen: int = 0
    best_epoch: int | None = None
    best_accuracy: float | None = None

    @property
    def total_steps(self) -> int:
        return self.steps_before + self.step


@dataclass
class Run:
    """One run's folder.

    Args:
        folder: made if it does not exist.
        settings: what decides the numbers; JSON values. A run continues only under the same ones.
    """

    folder: Path
    settings: dict[str, Any]
    log: Log = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        self.log = Log(self.folder / "log.jsonl")

    @property
    def state_path(self) -> Path:
        return self.folder / "state.safetensors"

    @property
    def best_path(self) -> Path:
        return self.folder / "best.safetensors"

    def start(self) -> None:
        """Begin anew in this folder.

        Raises:
            UserError: the folder holds a run that was not finished; its work would be lost.
        """
        if self.state_path.exists():
            position = _read_position(self.state_path)
            epochs = _read_settings(self.folder).get("epochs", 0)
            if position.epoch < epochs:
                raise UserError(
                    f"{self.folder} holds a run that stopped in epoch {position.epoch + 1} of {epochs}; add --resume "
                    "to continue it, or name another folder with --run_dir"
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in (self.state_path, self.best_path):
            path.unlink(missing_ok=True)
        files.write_text(self.folder / "settings.json", json.dumps(self.settings, indent=2) + "\n", durable=True)
        self.log.cut(Position())

    def resume(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Position:
        """Put model and optimiser back to where the run stopped.

        Raises:
            UserError: there is nothing to continue, it is damaged, or it was started with other settings.
        """
        if not (self.folder / "settings.json").exists():
            raise UserError(f"{self.folder} holds no run to continue; leave out --resume to start one")
        stored = _read_settings(self.folder)
        for name in sorted({*stored, *self.settings} - set(FREE)):
            if stored.get(name) != self.settings.get(name):
                raise UserError(
                    f"{self.folder} was started with {name} = {stored.get(name)}, not {self.settings.get(name)}; "
                    "continue it with the same settings, or name another folder with --run_dir"
                )
        if (threads := stored.get("threads")) != self.settings.get("threads"):
            print(
                f"note: started with {threads} threads and continued with {self.settings.get('threads')}, "
                "so sums are rounded differently from here on",
                file=sys.stderr,
            )
        files.write_text(self.folder / "settings.json", json.dumps(self.settings, indent=2) + "\n", durable=True)
        if not self.state_path.exists():  # stopped before anything was saved
            self.log.cut(Position())
            return Position()
        tensors, metadata = _read(self.state_path)
        try:
            position = Position(**json.loads(metadata["position"]))
            _restore(model, optimizer, tensors, json.loads(metadata["optimizer"]))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{self.state_path} does not fit this model ({error}); start anew without it") from error
        self.log.cut(position)
        return position

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, position: Position) -> None:
        """Write what the next step needs. What was there stays until the new file is whole."""
        state = optimizer.state_dict()
        tensors = {f"model.{name}": tensor for name, tensor in learning(model).items()}
        numbers: dict[str, dict[str, Any]] = {}
        for index, values in state["state"].items():
            for name, value in values.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer.{index}.{name}"] = value
                else:
                    numbers.setdefault(str(index), {})[name] = value
        metadata = {"position": json.dumps(asdict(position)), "optimizer": json.dumps(numbers)}
        files.write_tensors(self.state_path, tensors, metadata)

    def save_best(self, model: nn.Module) -> None:
        """Keep the weights that learn, as they are now."""
        files.write_tensors(self.best_path, learning(model), {})

    def load_best(self, model: nn.Module) -> None:
        """Put back the weights of the best epoch.

        Raises:
            UserError: there are none, or they are another model's.
        """
        try:
            _copy(learning(model), load_file(self.best_path))
        except (SafetensorError, OSError) as error:
            raise UserError(f"{self.best_path} cannot be read ({error})") from error
        except (KeyError, RuntimeError) as error:
            raise UserError(f"{self.best_path} does not fit this model ({error})") from error


class Log:
    """JSON lines, each a step, ``{"epoch": 1, "step": 1, "loss": ...}``, or an epoch, which has no ``step``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, record: Mapping[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def cut(self, position: Position) -> None:
        """Drop what comes after a position: it is about to happen again."""
        kept = [
            record
            for record in self.records()
            if (record["step"] <= position.total_steps if "step" in record else record["epoch"] <= position.epoch)
        ]
        files.write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept), durable=True)

    def records(self) -> Iterator[dict[str, Any]]:
        """What has been logged, but for a last line that a kill cut short."""
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return


def learning(model: nn.Module) -> dict[str, torch.Tensor]:
    """The parameters that are not frozen; one that is used twice is there once."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def _restore(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tensors: dict[str, torch.Tensor],
    numbers: dict[str, dict[str, Any]],
) -> None:
    weights = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    _copy(learning(model), weights)
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in numbers.items()}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _copy(wanted: Mapping[str, torch.Tensor], stored: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in wanted.items():
        tensor.copy_(stored[name])


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error})") from error


def _read_position(path: Path) -> Position:
    try:
        with safe_open(path, framework="pt") as file:
            return Position(**json.loads((file.metadata() or {})["position"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it to start anew") from error


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / "settings.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove {folder} to start anew") from error
    if not isinstance(settings, dict):
        raise UserError(f"{path} is not a run's settings; remove {folder} to start anew")
    return settings
