"""What a classifier's predictions are worth, in figures.

Shapes: L labels.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llamalab.data.sentences import UNKNOWN


@dataclass(frozen=True)
class ClassScores:
    """How one label fared; None is a ratio of nothing, such as the precision of a label that was never answered."""

    count: int  # examples that have the label
    predicted: int  # examples that were given it
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Scores:
    """The figures of one split. Examples whose label is unknown (-1) count in ``unknown`` and in no other figure.

    ``macro_f1`` averages over the labels that occur or were answered, as scikit-learn's and so the courses' does.
    ``single_label`` says that all known labels are the same: then accuracy is how often the model answers that label,
    which is no measure of it. The courses' ``cfimdb-test.txt``, whose labels were withheld, has 0 on every line.
    """

    examples: int
    unknown: int
    accuracy: float | None  # None, like the next three, if no label is known
    macro_f1: float | None
    majority_label: int | None  # the most frequent label; the first of several
    majority_accuracy: float | None  # of always answering it
    single_label: bool
    confusion: tuple[tuple[int, ...], ...]  # (L, L); row: the label, column: the prediction
    classes: tuple[ClassScores, ...]  # (L)

    def to_dict(self) -> dict[str, Any]:
        """The fields, in nested dictionaries and tuples that ``json.dumps`` takes."""
        return dataclasses.asdict(self)


def score(labels: Sequence[int], predictions: Sequence[int], label_names: Sequence[str]) -> Scores:
    """Compare predictions with labels.

    >>> scores = score([0, 0, 1, -1], [0, 1, 1, 1], ["bad", "good"])
    >>> scores.accuracy, scores.majority_accuracy, scores.confusion
    (0.6666666666666666, 0.6666666666666666, ((1, 1), (0, 1)))

    Raises:
        ValueError: not as many predictions as labels, or one that is no index of ``label_names``.
    """
    L = len(label_names)
    if len(labels) != len(predictions):
        raise ValueError(f"{len(predictions)} predictions for {len(labels)} labels")
    if wrong := {*labels, *predictions} - {UNKNOWN, *range(L)}:
        raise ValueError(f"no such label among {L} label names: {sorted(wrong)[0]}")
    if UNKNOWN in predictions:
        raise ValueError(f"{UNKNOWN} is no prediction")
    known = [(label, answer) for label, answer in zip(labels, predictions, strict=True) if label != UNKNOWN]
    unknown = len(labels) - len(known)
    if not known:
        nothing = tuple(ClassScores(0, 0, None, None, None) for _ in range(L))
        return Scores(0, unknown, None, None, None, None, False, ((0,) * L,) * L, nothing)

    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    true, predicted = zip(*known, strict=True)
    confusion = confusion_matrix(true, predicted, labels=range(L)).tolist()
    precision, recall, f1, counts = precision_recall_fscore_support(
        true, predicted, labels=range(L), zero_division=math.nan
    )
    classes = tuple(
        ClassScores(int(counts[label]), sum(row[label] for row in confusion), *map(_defined, ratios))
        for label, ratios in enumerate(zip(precision, recall, f1, strict=True))
    )
    majority = max(range(L), key=lambda label: classes[label].count)
    return Scores(
        examples=len(known),
        unknown=unknown,
        accuracy=sum(confusion[label][label] for label in range(L)) / len(known),
        macro_f1=statistics.fmean(scores.f1 for scores in classes if scores.f1 is not None),
        majority_label=majority,
        majority_accuracy=classes[majority].count / len(known),
        single_label=classes[majority].count == len(known),
        confusion=tuple(map(tuple, confusion)),
        classes=classes,
    )


def _defined(ratio: float) -> float | None:
    return None if math.isnan(ratio) else float(ratio)
