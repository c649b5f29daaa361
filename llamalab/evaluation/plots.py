"""The pictures of a report: loss by step, dev accuracy by epoch, and a confusion matrix for each split.

Drawn with matplotlib's objects alone. pyplot would bring windows and a state that everything in the process shares.
"""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from llamalab import files

if TYPE_CHECKING:  # matplotlib takes a second to import, and a command may fail before it draws anything
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from llamalab.evaluation.scores import Scores

DPI = 150
MODEL, RAW, REFERENCE = "#1f5fa8", "#a9c6e8", "#666666"
DARK = 0.7  # the share above which white is easier to read on a cell than black
MOST_LABELS = 30  # of a confusion matrix with text in its cells


class History(TypedDict):
    """How a training run went; both lists may be empty."""

    steps: list[dict[str, Any]]  # {"step": 1, "loss": 1.61, ...}; loss in nats an example
    epochs: list[dict[str, Any]]  # {"epoch": 1, "dev_accuracy": 0.41, ...}; None where no dev label is known


def draw(splits: Mapping[str, Scores], label_names: Sequence[str], history: History | None) -> dict[str, Figure]:
    """Every figure there is something to draw for, by file name.

    Args:
        label_names: as they are to be shown; one a label.
    """
    figures = {}
    if history and history["steps"]:
        figures["loss.png"] = loss_figure(history["steps"], len(label_names))
    if history and any(epoch.get("dev_accuracy") is not None for epoch in history["epochs"]):
        dev = splits.get("dev")
        figures["accuracy.png"] = accuracy_figure(history["epochs"], dev.majority_accuracy if dev else None)
    for name, scores in splits.items():
        if scores.examples and not scores.single_label:
            figures[f"confusion-{name}.png"] = confusion_figure(name, scores, label_names)
    return figures


def save(folder: Path, figures: Mapping[str, Figure]) -> None:
    """Write each figure under its name; a reader never sees half a file.

    Raises:
        OSError: the folder does not exist, is read-only or is full.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing")  # a label in a script that the font lacks shows as boxes
        for name, figure in figures.items():
            with files.atomic(folder / name) as file:
                figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight")


def loss_figure(steps: Sequence[Mapping[str, Any]], n_labels: int) -> Figure:
    """The loss of each step, its mean over a twentieth of the run around it, and the loss of knowing nothing."""
    import numpy as np

    numbers = [step["step"] for step in steps]
    losses = [step["loss"] if math.isfinite(step["loss"]) else math.nan for step in steps]
    window = np.ones(2 * (len(losses) // 40) + 1)
    smooth = np.convolve(losses, window, "same") / np.convolve(np.ones(len(losses)), window, "same")
    figure, axes = _axes("Training loss", "step", "cross-entropy loss (nats per example)")
    axes.plot(numbers, losses, color=RAW, linewidth=1, marker="." if len(losses) < 100 else None, label="each step")
    if len(window) > 1:
        axes.plot(numbers, smooth, color=MODEL, linewidth=2, label=f"mean of {len(window)} steps")
    guess = math.log(n_labels)
    axes.axhline(guess, color=REFERENCE, linestyle="--", label=f"all {n_labels} labels equally likely: {guess:.2f}")
    if lost := sum(map(math.isnan, losses)):
        axes.plot([], [], " ", label=f"{lost} steps whose loss is not finite are missing")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def accuracy_figure(epochs: Sequence[Mapping[str, Any]], majority_accuracy: float | None) -> Figure:
    """The dev accuracy after each epoch, its maximum, and the accuracy of always answering the majority class."""
    known = [(epoch["epoch"], epoch["dev_accuracy"]) for epoch in epochs if epoch.get("dev_accuracy") is not None]
    figure, axes = _axes("Accuracy on the dev split", "epoch", "accuracy (share of examples)")
    axes.plot(*zip(*known, strict=True), color=MODEL, marker="o", linewidth=2, label="model")
    best, highest = max(known, key=lambda point: point[1])
    axes.plot(best, highest, "*", color=MODEL, markersize=14, label=f"highest: {highest:.3f}, epoch {best}")
    if majority_accuracy is not None:
        label = f"majority class: {majority_accuracy:.3f}"
        axes.axhline(majority_accuracy, color=REFERENCE, linestyle="--", label=label)
    axes.legend(frameon=False)
    return figure


def confusion_figure(name: str, scores: Scores, label_names: Sequence[str]) -> Figure:
    """Counts of every pair of label and prediction, coloured by and given with their share of the row."""
    L = len(label_names)
    shares = [[count / max(1, sum(row)) for count in row] for row in scores.confusion]
    side = min(max(4.0, 0.95 * L), 16.0)
    title = f"{name}: accuracy {scores.accuracy:.3f}, majority class {scores.majority_accuracy:.3f}"
    figure, axes = _axes(title, "predicted label", "true label", (side + 2.2, side + 1.0))
    axes.grid(False)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the examples with the true label", shrink=0.8)
    size = 10 * min(1.0, side / (0.95 * L))
    wrapped = ["\n".join(textwrap.wrap(label, 10)) for label in label_names]
    axes.set_xticks(range(L), wrapped, fontsize=size, parse_math=False)
    axes.set_yticks(range(L), wrapped, fontsize=size, parse_math=False)
    if L <= MOST_LABELS:
        for row in range(L):
            for column in range(L):
                share = shares[row][column]
                text = f"{scores.confusion[row][column]}\n{share:.0%}" if sum(scores.confusion[row]) else "0"
                colour = "white" if share > DARK else "black"
                axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    return figure


def _axes(title: str, x: str, y: str, size: tuple[float, float] = (7.0, 4.2)) -> tuple[Figure, Axes]:
    """A figure with one named pair of axes; ``size`` in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes
