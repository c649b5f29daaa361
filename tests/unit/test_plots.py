"""The pictures of a report, by what matplotlib would draw."""

from __future__ import annotations

import itertools
import math
import random
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from llamalab.evaluation import plots
from llamalab.evaluation.scores import score

ROOT = Path(__file__).resolve().parents[2]
SST = ["very negative", "negative", "neutral", "positive", "very positive"]
TWO = ["bad", "good"]
HOSTILE = ["$x_{ \\frac", "a_b^c $ $"]


def line(figure: Figure, label: str) -> list[tuple[float, float]]:
    """The points of the line whose legend entry begins so."""
    [drawn] = [item for item in figure.axes[0].lines if item.get_label().startswith(label)]
    return list(zip(drawn.get_xdata(), drawn.get_ydata(), strict=True))


def matrix(names: list[str], examples: int = 200) -> Figure:
    draw = random.Random(0)
    labels = [draw.randrange(len(names)) for _ in range(examples)]
    predictions = [label if draw.random() < 0.9 else draw.randrange(len(names)) for label in labels]
    return plots.confusion_figure("dev", score(labels, predictions, names), names)


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The contrast ratio of two RGB colours: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio."""

    def luminance(colour: tuple[float, ...]) -> float:
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3])
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_every_axis_has_a_name_and_every_figure_a_title():
    history = {"steps": [{"step": 1, "loss": 1.0}], "epochs": [{"epoch": 1, "dev_accuracy": 0.5}]}
    figures = plots.draw({"dev": score([0, 1], [0, 1], TWO)}, TWO, history)
    assert list(figures) == ["loss.png", "accuracy.png", "confusion-dev.png"]
    for figure in figures.values():
        axes = figure.axes[0]
        assert axes.get_title() and axes.get_xlabel() and axes.get_ylabel()


def test_the_loss_is_drawn_at_its_step_with_a_smoothed_line():
    losses = [4.0, 0.0] * 50
    figure = plots.loss_figure([{"step": n, "loss": loss} for n, loss in enumerate(losses, 1)], 5)
    assert line(figure, "each step") == list(enumerate(losses, 1))
    smooth = line(figure, "mean of 5 steps")
    assert [step for step, _ in smooth] == list(range(1, 101))
    assert smooth[0][1] == pytest.approx(8 / 3)  # of the three steps there are
    assert [loss for _, loss in smooth[2:4]] == pytest.approx([12 / 5, 8 / 5])


def test_a_run_of_few_steps_is_not_smoothed():
    figure = plots.loss_figure([{"step": n, "loss": 1.0} for n in (1, 2, 3)], 5)
    labels = [item.get_label().split(":")[0] for item in figure.axes[0].lines]
    assert labels == ["each step", "all 5 labels equally likely"]


def test_the_loss_of_guessing_is_the_logarithm_of_the_number_of_labels():
    figure = plots.loss_figure([{"step": 1, "loss": 1.0}], 5)
    assert {y for _, y in line(figure, "all 5 labels equally likely: 1.61")} == {math.log(5)}


def test_a_loss_that_is_not_finite_is_left_out_and_counted():
    losses = [1.0, math.inf, math.nan]
    figure = plots.loss_figure([{"step": n, "loss": loss} for n, loss in enumerate(losses, 1)], 2)
    assert [step for step, loss in line(figure, "each step") if not math.isnan(loss)] == [1]
    assert "2 steps whose loss is not finite are missing" in [
        text.get_text() for text in figure.axes[0].get_legend().get_texts()
    ]


def test_accuracy_is_drawn_by_epoch_beside_the_majority_class_with_its_first_maximum_marked():
    epochs = [{"epoch": n, "dev_accuracy": accuracy} for n, accuracy in enumerate([0.3, 0.5, 0.4, 0.5], 1)]
    figure = plots.accuracy_figure(epochs, 0.25)
    assert line(figure, "model") == [(1, 0.3), (2, 0.5), (3, 0.4), (4, 0.5)]
    assert line(figure, "highest: 0.500, epoch 2") == [(2, 0.5)]
    assert {y for _, y in line(figure, "majority class: 0.250")} == {0.25}


@pytest.mark.parametrize("last", [1, 2, 3, 10, 100])
def test_epochs_are_whole_numbers_on_the_axis(last):
    figure = plots.accuracy_figure([{"epoch": n, "dev_accuracy": 0.1 * n} for n in range(1, last + 1)], None)
    low, high = figure.axes[0].get_xlim()
    ticks = [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high]
    assert ticks and all(tick == int(tick) for tick in ticks)


def test_without_a_known_dev_label_no_accuracy_is_drawn():
    history = {"steps": [], "epochs": [{"epoch": 1, "dev_accuracy": None}]}
    assert plots.draw({"dev": score([-1], [0], TWO)}, TWO, history) == {}


def test_a_cell_holds_its_count_and_its_share_of_the_row():
    figure = plots.confusion_figure("dev", score([0, 0, 0, 0, 1], [0, 1, 1, 1, 1], TWO), TWO)
    assert [text.get_text() for text in figure.axes[0].texts] == ["1\n25%", "3\n75%", "0\n0%", "1\n100%"]


def test_a_label_without_examples_has_counts_and_no_shares():
    figure = plots.confusion_figure("dev", score([0, 1], [0, 0], ["a", "b", "c"]), ["a", "b", "c"])
    assert [text.get_text() for text in figure.axes[0].texts][6:] == ["0", "0", "0"]


def test_every_cells_text_is_readable_on_its_colour():
    names = [str(n) for n in range(20)]
    labels = [n for n in range(20) for _ in range(20)]
    predictions = [n if i < n else (n + 1) % 20 for n in range(20) for i in range(20)]  # shares of 0%, 5%, ... 100%
    axes = plots.confusion_figure("dev", score(labels, predictions, names), names).axes[0]
    [image] = axes.images
    for text in axes.texts:
        column, row = text.get_position()
        cell = image.cmap(image.norm(image.get_array()[row, column]))
        assert contrast(to_rgb(text.get_color()), cell) >= 4


@pytest.mark.parametrize(
    "names",
    [TWO, SST, [f"label number {n}" for n in range(12)], [f"an endless label name {n:02}" for n in range(20)]],
    ids=["two", "sst", "twelve", "twenty"],
)
def test_no_texts_of_a_matrix_overlap(names):
    figure = matrix(names)
    figure.canvas.draw()
    axes = figure.axes[0]
    texts = [*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts]
    texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
    boxes = [text.get_window_extent() for text in texts]
    assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]


@pytest.mark.parametrize("names", [["bad", "$x_{ good"], ["a rather long name"] * 3], ids=["two", "three"])
def test_nothing_is_cut_off_at_the_edge_of_a_picture(tmp_path, names):
    plots.save(tmp_path, {"matrix.png": matrix(names)})
    pixels = imread(tmp_path / "matrix.png")  # (height, width, RGBA)
    assert all((edge == 1).all() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))


def test_label_names_are_never_read_as_mathematics(tmp_path):
    plots.save(tmp_path, {"matrix.png": matrix(HOSTILE)})
    assert (tmp_path / "matrix.png").stat().st_size > 0


def test_a_label_in_a_script_the_font_lacks_raises_no_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save(tmp_path, {"matrix.png": matrix(["悪い", "良い"])})


def test_a_figure_that_cannot_be_saved_leaves_nothing_behind(tmp_path):
    (tmp_path / "b.png").mkdir()
    with pytest.raises(OSError):
        plots.save(tmp_path, {"b.png": matrix(TWO)})
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]


def test_drawing_leaves_pyplot_alone():
    draw = "plots.draw({}, ['bad', 'good'], {'steps': [{'step': 1, 'loss': 1.0}], 'epochs': []})"
    code = f"import sys; from llamalab.evaluation import plots; assert {draw}; "
    code += "print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
