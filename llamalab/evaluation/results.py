"""What is told of a classifier: its scores as text, the courses' prediction files and a report."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import statistics
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamalab import text
from llamalab.errors import UserError
from llamalab.evaluation import plots
from llamalab.evaluation.scores import Scores
from llamalab.files import write_text

if TYPE_CHECKING:  # torch, scikit-learn, matplotlib and rich are imported where they are used: commands start at once
    import torch

COLUMNS = 120  # the widest line that is printed
NAME_COLUMNS = 24  # of which a label's name may take so many


def write_predictions(path: str | Path, predictions: Sequence[int], sentences: Sequence[str]) -> None:
    """Write the courses' output file, ``{prediction} ||| {sentence}`` a line; its folder is made if need be.

    A line break inside a sentence becomes a space, so that line N is example N whatever the sentence.

    Raises:
        ValueError: not as many predictions as sentences.
        UserError: the file cannot be written; what was there before then still is.
    """
    one_line = (re.sub("[\r\n]+", " ", sentence) for sentence in sentences)
    lines = [f"{prediction} ||| {sentence}\n" for prediction, sentence in zip(predictions, one_line, strict=True)]
    with _writing(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(lines))


def format_scores(name: str, scores: Scores, label_names: Sequence[str]) -> str:
    """What a command prints of one split: accuracy beside the majority class's, macro F1 and two tables.

    Plain text of at most 120 columns, without a line break at its end.
    """
    names = _shown_names(label_names)
    if not scores.examples:
        return f"{name}: none of {scores.unknown:,} examples has a known label, so there is nothing to score."
    left_out = f"; {scores.unknown:,} without a known label left out" if scores.unknown else ""
    majority = f'always answering "{names[scores.majority_label]}"'
    points = f"{100 * (scores.accuracy - scores.majority_accuracy):+.1f} points against the majority class"
    tables = text.table(
        ["label", "count", "predicted", "precision", "recall", "F1"],
        [
            [label, str(row.count), str(row.predicted), *map(_figure, (row.precision, row.recall, row.f1))]
            for label, row in zip(names, scores.classes, strict=True)
        ],
    )
    return "\n".join(
        [
            f"{name}: {scores.examples:,} examples{left_out}",
            f"  accuracy        {_figure(scores.accuracy)}  {'' if scores.single_label else points}".rstrip(),
            f"  majority class  {_figure(scores.majority_accuracy)}  {majority}",
            f"  macro F1        {_figure(scores.macro_f1)}",
            *(line for remark in _remarks(scores, names) for line in textwrap.wrap(remark, COLUMNS)),
            "",
            tables,
            "",
            _confusion_table(scores, names),
        ]
    )


def _remarks(scores: Scores, names: Sequence[str]) -> Iterator[str]:
    """Sentences on what the figures alone may hide."""
    if scores.single_label:
        label = names[scores.majority_label]
        yield (
            f'Every known label is "{label}", as in a file whose labels were withheld: '
            f'accuracy here only says how often the model answers "{label}".'
        )
    for label, row in zip(names, scores.classes, strict=True):
        if row.predicted == scores.examples > 1:
            yield f'All {scores.examples:,} predictions are "{label}", whatever the sentence.'


def _confusion_table(scores: Scores, names: Sequence[str]) -> str:
    from rich.cells import cell_len

    ids = [str(label) for label in range(len(names))]
    for columns, rows in ((names, names), (ids, [" ".join(pair) for pair in zip(ids, names, strict=True)])):
        counts = [[row, *map(str, line)] for row, line in zip(rows, scores.confusion, strict=True)]
        table = text.table(["true \\ predicted", *columns], counts)
        if max(map(cell_len, table.split("\n"))) <= COLUMNS:
            return table
    return f"The confusion matrix of {len(names)} labels does not fit {COLUMNS} columns; a report has it."


def format_seeds(rows: Mapping[int, Mapping[str, Scores]]) -> str:
    """A table of several runs: accuracy and macro F1 of each split by seed, then mean and sample standard deviation.

    Below them stands the accuracy of the majority class. A dash is a figure that does not exist, such as the deviation
    of a single run.

    Args:
        rows: the scores of each split by seed, ``{1: {"dev": ..., "test": ...}, 2: ...}``, the same splits for all.
    """
    splits = list(dict.fromkeys(split for scores in rows.values() for split in scores))
    columns = [f"{split} {figure}" for split in splits for figure in ("accuracy", "macro F1")]
    figures = [
        [figure for split in splits for figure in (scores[split].accuracy, scores[split].macro_f1)]
        for scores in rows.values()
    ]
    by_column = list(zip(*figures, strict=True))
    last = list(rows.values())[-1]
    majority = [figure for split in splits for figure in (last[split].majority_accuracy, None)]
    table = text.table(
        ["seed", *columns],
        [
            *([str(seed), *map(_figure, run)] for seed, run in zip(rows, figures, strict=True)),
            ["mean", *(_figure(None if None in column else statistics.fmean(column)) for column in by_column)],
            ["std (n-1)", *(_figure(_deviation(column)) for column in by_column)],
            ["majority", *map(_figure, majority)],
        ],
    )
    remarks = [
        f"{split}: every known label is the same, so accuracy only says how often the model answers that label."
        for split in splits
        if last[split].single_label
    ]
    return "\n".join([table, *remarks])


def _deviation(figures: Sequence[float | None]) -> float | None:
    return None if None in figures or len(figures) < 2 else statistics.stdev(figures)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _shown_names(label_names: Sequence[str]) -> list[str]:
    """Label names, which come from a file, without control characters and short enough for a table."""
    from rich.text import Text

    names = [Text(text.line(name)) for name in label_names]
    for name in names:
        name.truncate(NAME_COLUMNS, overflow="ellipsis")
    return [name.plain for name in names]


def hardware(device: torch.device) -> dict[str, Any]:
    """What a run ran on: device, its name, cores, torch's threads, versions and system."""
    import torch

    return {
        "device": device.type,
        "name": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def write_report(
    folder: str | Path, report: Mapping[str, Any], history: plots.History | None = None
) -> dict[str, Path]:
    """Write ``report.json`` and, as PNG, the loss, the dev accuracy and the confusion matrix of each labelled split.

    A split without known labels, or with a single one, gets no matrix. What is not finite is null in the JSON. Each
    file appears whole; files of an earlier report that this one does not replace stay, and "plots" in the JSON names
    those that belong to it.

    Args:
        folder: made if need be.
        report: what is to be on record, such as settings, model and hardware, of values JSON knows, paths and Scores.
            It must have "label_names" and "splits", the scores by split; the majority class of the split "dev" is drawn
            beside the accuracy. This function adds "plots" and "history".
        history: None for a model that was not trained.

    Returns:
        The path of each file by its name.

    Raises:
        UserError: the folder cannot be written to.
    """
    folder = Path(folder)
    figures = plots.draw(report["splits"], _shown_names(report["label_names"]), history)
    content = {**report, "plots": list(figures), "history": history}
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "report.json", _json(_for_json(content)) + "\n")
        plots.save(folder, figures)
    return {name: folder / name for name in ("report.json", *figures)}


def _for_json(value: Any) -> Any:
    """The value with paths as text, Scores as dictionaries and null for what is not finite."""
    if isinstance(value, Scores):
        return _for_json(value.to_dict())
    if isinstance(value, Mapping):
        return {key: _for_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_for_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _json(value: Any, indent: str = "") -> str:
    """JSON whose short lists and objects, such as a row of a matrix, take one line each."""
    line = json.dumps(value, allow_nan=False)
    if len(indent) + len(line) <= COLUMNS or not isinstance(value, list | dict):
        return line
    inner = indent + "  "
    if isinstance(value, list):
        items, brackets = [_json(item, inner) for item in value], "[]"
    else:
        items, brackets = [f"{json.dumps(str(key))}: {_json(item, inner)}" for key, item in value.items()], "{}"
    return f"{brackets[0]}\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}{brackets[1]}"


@contextmanager
def _writing(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}; choose a place that can be, or make room"
        ) from error
