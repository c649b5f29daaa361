"""What predictions are worth: scores, what is printed of them, prediction files and reports."""

from __future__ import annotations

import json
import math
import random
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.cells import cell_len
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from llamalab.data.sentences import Example, read_examples
from llamalab.errors import UserError
from llamalab.evaluation import results
from llamalab.evaluation.results import format_scores, format_seeds, write_predictions, write_report
from llamalab.evaluation.scores import score

ROOT = Path(__file__).resolve().parents[2]
SST = ["very negative", "negative", "neutral", "positive", "very positive"]
TWO = ["bad", "good"]
ESCAPE = "\x1b"


def noisy(labels: list[int], n_labels: int, wrong: float = 0.4) -> list[int]:
    draw = random.Random(0)
    return [draw.randrange(n_labels) if draw.random() < wrong else label for label in labels]


def row(text: str, first: str) -> list[str]:
    """The cells of the only line that begins with these words."""
    [line] = [line for line in text.split("\n") if line.lstrip().startswith(first)]
    return line.lstrip().removeprefix(first).split()


# Scores


def test_the_scores_are_scikit_learns_on_real_labels(asset):
    labels = [example.label for example in read_examples(asset("sst-dev"), 5)]
    predictions = noisy(labels, 5)
    scores = score(labels, predictions, SST)
    assert scores.accuracy == accuracy_score(labels, predictions)
    assert scores.macro_f1 == pytest.approx(f1_score(labels, predictions, average="macro"))
    assert [c.precision for c in scores.classes] == pytest.approx(precision_score(labels, predictions, average=None))
    assert [c.recall for c in scores.classes] == pytest.approx(recall_score(labels, predictions, average=None))
    assert (scores.examples, scores.majority_label, scores.majority_accuracy) == (1101, 1, 289 / 1101)


def test_a_row_of_the_confusion_matrix_is_a_true_label():
    assert score([0, 0, 0, 1], [0, 1, 1, 1], TWO).confusion == ((1, 2), (0, 1))


def test_examples_without_a_known_label_change_no_figure_but_their_own_count():
    known = score([0, 1, 1], [0, 0, 1], TWO).to_dict()
    with_unknown = score([-1, 0, 1, -1, 1], [1, 0, 0, 0, 1], TWO).to_dict()
    assert known.pop("unknown") == 0 and with_unknown.pop("unknown") == 2
    assert with_unknown == known


@pytest.mark.parametrize("labels", [[], [-1, -1]])
def test_without_a_known_label_there_is_no_accuracy(labels):
    scores = score(labels, [0] * len(labels), TWO)
    assert (scores.examples, scores.unknown) == (0, len(labels))
    assert scores.accuracy is scores.macro_f1 is scores.majority_label is scores.majority_accuracy is None
    assert not scores.single_label


def test_a_label_that_was_never_answered_has_no_precision_and_an_f1_of_zero():
    classes = score([0, 0, 1], [0, 0, 0], ["a", "b", "c"]).classes
    assert (classes[1].precision, classes[1].recall, classes[1].f1) == (None, 0.0, 0.0)


def test_a_label_that_neither_occurs_nor_is_answered_is_no_part_of_macro_f1():
    scores = score([0, 0, 1], [0, 1, 1], ["a", "b", "c"])
    assert scores.classes[2].f1 is None
    assert scores.macro_f1 == pytest.approx(f1_score([0, 0, 1], [0, 1, 1], average="macro"))


def test_the_first_of_equally_frequent_labels_is_the_majority():
    assert score([1, 0, 0, 1], [0, 0, 0, 0], TWO).majority_label == 0


def test_a_split_with_one_label_on_every_line_is_flagged(asset):
    labels = [example.label for example in read_examples(asset("cfimdb-test"), 2)]
    assert score(labels, noisy(labels, 2), TWO).single_label
    assert not score([*labels, 1], noisy([*labels, 1], 2), TWO).single_label


@pytest.mark.parametrize(
    ("labels", "predictions", "says"),
    [
        ([0, 1], [0], "1 predictions for 2 labels"),
        ([0, 2], [0, 0], "no such label among 2 label names: 2"),
        ([0, 1], [0, 2], "no such label among 2 label names: 2"),
        ([0, 1], [0, -1], "-1 is no prediction"),
    ],
)
def test_labels_and_predictions_that_cannot_be_compared_are_refused(labels, predictions, says):
    with pytest.raises(ValueError, match=says):
        score(labels, predictions, TWO)


# Prediction files


def test_predictions_are_written_in_the_courses_format(tmp_path):
    write_predictions(tmp_path / "out.txt", [3, 0], ["A lovely film .", "Dull ."])
    assert (tmp_path / "out.txt").read_bytes() == b"3 ||| A lovely film .\n0 ||| Dull .\n"


def test_written_predictions_read_back_as_examples(tmp_path, asset):
    sentences = [example.sentence for example in read_examples(asset("sst-dev"), 5)]
    predictions = noisy([0] * len(sentences), 5)
    write_predictions(tmp_path / "out.txt", predictions, sentences)
    assert read_examples(tmp_path / "out.txt", 5) == list(map(Example, predictions, sentences))


@pytest.mark.parametrize("sentence", ["", "a ||| b", "one\u2028two", "\ufeffx", "-1 ||| x", "\x0c\x85"])
def test_an_unusual_sentence_keeps_its_line(tmp_path, sentence):
    write_predictions(tmp_path / "out.txt", [1, 0], [sentence, "last"])
    assert read_examples(tmp_path / "out.txt") == [Example(1, sentence.strip()), Example(0, "last")]


def test_a_line_break_in_a_sentence_becomes_a_space(tmp_path):
    write_predictions(tmp_path / "out.txt", [1, 0], ["one\r\ntwo\nthree\rfour", "last"])
    assert (tmp_path / "out.txt").read_bytes() == b"1 ||| one two three four\n0 ||| last\n"


def test_a_missing_sentence_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError):
        write_predictions(tmp_path / "out.txt", [1, 0], ["one"])
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_prediction_file_is_made(tmp_path):
    write_predictions(tmp_path / "new" / "out.txt", [1], ["one"])
    assert (tmp_path / "new" / "out.txt").read_text() == "1 ||| one\n"


def test_a_prediction_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    (tmp_path / "out.txt").mkdir()
    with pytest.raises(UserError, match=r"out\.txt cannot be written: .*; choose a place"):
        write_predictions(tmp_path / "out.txt", [1], ["one"])
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


# Printed scores


def test_accuracy_stands_beside_the_majority_class():
    text = format_scores("dev", score([0, 1, 1, 1], [0, 1, 1, 0], TWO), TWO)
    assert row(text, "accuracy") == ["0.750", *"+0.0 points against the majority class".split()]
    assert row(text, "majority class") == ["0.750", "always", "answering", '"good"']
    assert row(text, "macro F1") == ["0.733"]


def test_a_model_that_always_answers_the_same_is_called_out():
    labels = [0, 1, 2, 3, 4, 1]
    assert 'All 6 predictions are "positive", whatever the sentence.' in format_scores(
        "dev", score(labels, [3] * 6, SST), SST
    )
    assert "whatever the sentence" not in format_scores("dev", score(labels, [3] * 5 + [2], SST), SST)


def test_a_split_with_a_single_label_is_called_out():
    text = format_scores("test", score([0] * 4, [0, 1, 1, 0], TWO), TWO).replace("\n", " ")
    assert 'accuracy here only says how often the model answers "bad".' in text
    assert "points" not in text


def test_a_split_without_labels_prints_one_sentence():
    text = format_scores("test", score([-1, -1], [0, 1], TWO), TWO)
    assert text == "test: none of 2 examples has a known label, so there is nothing to score."


def test_examples_left_out_are_counted_in_print():
    assert format_scores("dev", score([0, 1, -1], [0, 1, 1], TWO), TWO).startswith(
        "dev: 2 examples; 1 without a known label left out\n"
    )


def test_each_label_has_a_line_of_figures_with_a_dash_for_what_does_not_exist():
    names = ["a film", "b film", "c film"]
    text = format_scores("dev", score([0, 0, 1], [0, 0, 0], names), names)
    table = text.split("\n\n")[1]
    assert row(table, "label") == ["count", "predicted", "precision", "recall", "F1"]
    assert row(table, "a film") == ["2", "3", "0.667", "1.000", "0.800"]
    assert row(table, "b film") == ["1", "0", "-", "0.000", "0.000"]
    assert row(table, "c film") == ["0", "0", "-", "-", "-"]


def test_the_confusion_matrix_is_the_last_table():
    matrix = format_scores("dev", score([0, 0, 1], [0, 1, 1], TWO), TWO).split("\n\n")[-1]
    assert matrix.split("\n") == [
        "true \\ predicted  bad  good",
        "bad                 1     1",
        "good                0     1",
    ]


@pytest.mark.parametrize(
    "names",
    [
        SST,
        [f"a label with quite a long name, number {n}" for n in range(5)],
        [f"nineteen letters {n:02}" for n in range(5)],
        [f"label {n}" for n in range(20)],
        [f"label {n}" for n in range(40)],
        ["très très mauvais", "とても良い映画でした" * 3, "🎬" * 30],
    ],
    ids=["sst", "long", "just-too-long", "twenty", "forty", "wide"],
)
def test_print_fits_120_columns(names):
    labels = [n % len(names) for n in range(90)]
    for predictions in (noisy(labels, len(names)), [1] * 90):
        lines = format_scores("dev", score(labels, predictions, names), names).split("\n")
        assert max(map(cell_len, lines)) <= 120
        assert all(line == line.rstrip() for line in lines)


def test_columns_are_numbered_where_label_names_do_not_fit():
    names = [f"label {n}" for n in range(20)]
    text = format_scores("dev", score([0, 19], [19, 19], names), names)
    assert row(text, "true \\ predicted") == list(map(str, range(20)))
    assert row(text, "19 label 19") == ["0"] * 19 + ["1"]


def test_label_names_cannot_steer_the_terminal_or_the_markup(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    names = [f"{ESCAPE}[31mred\n", "[bold]:smile:"]
    text = format_scores("dev", score([0, 1], [0, 1], names), names)
    assert ESCAPE not in text and "\ufffd[31mred " in text
    assert text.count("[bold]:smile:") == 3  # a line of each table and a column of the matrix


# Seeds


def test_seeds_have_a_row_each_then_their_mean_and_sample_deviation():
    labels = [0, 1, 1, 0]
    runs = {
        seed: {"dev": score(labels, dev, TWO), "test": score(labels, labels, TWO)}
        for seed, dev in {7: [0, 1, 1, 0], 8: [0, 1, 0, 1], 9: [1, 1, 1, 0]}.items()
    }
    text = format_seeds(runs)
    accuracies = [1.0, 0.5, 0.75]
    assert [row(text, seed)[0] for seed in "789"] == [f"{accuracy:.3f}" for accuracy in accuracies]
    assert row(text, "seed") == "dev accuracy dev macro F1 test accuracy test macro F1".split()
    assert row(text, "mean")[0] == f"{statistics.mean(accuracies):.3f}"
    assert row(text, "std (n-1)") == [
        f"{statistics.stdev(accuracies):.3f}",
        f"{statistics.stdev(runs[seed]['dev'].macro_f1 for seed in runs):.3f}",
        "0.000",
        "0.000",
    ]
    assert row(text, "majority") == ["0.500", "-", "0.500", "-"]


def test_one_seed_has_a_mean_and_no_deviation():
    text = format_seeds({1: {"dev": score([0, 1], [0, 1], TWO)}})
    assert row(text, "mean") == ["1.000", "1.000"]
    assert row(text, "std (n-1)") == ["-", "-"]


def test_seeds_of_a_split_without_labels_are_dashes():
    text = format_seeds({seed: {"test": score([-1], [0], TWO)} for seed in (1, 2)})
    assert row(text, "1") == row(text, "mean") == row(text, "std (n-1)") == ["-", "-"]


def test_seeds_of_a_split_with_a_single_label_carry_the_warning():
    text = format_seeds({1: {"test": score([0, 0], [0, 1], TWO)}})
    assert "test: every known label is the same, so accuracy only says how often" in text


# Reports


HISTORY = {
    "steps": [{"step": n, "loss": 2 / n, "lr": 2e-5} for n in range(1, 60)],
    "epochs": [{"epoch": n, "train_loss": 1 / n, "dev_accuracy": n / 3} for n in (1, 2)],
}


def report_of(**splits) -> dict:
    return {"settings": {"lr": 2e-5, "dev": Path("data") / "dev.txt"}, "label_names": TWO, "splits": splits}


def strict(path: Path) -> dict:
    """The JSON of a file in which NaN and Infinity, which JSON does not have, are errors."""

    def refuse(word: str):
        raise AssertionError(f"{word} in {path}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_a_report_holds_what_it_was_given_the_scores_and_the_history(tmp_path):
    dev = score([0, 1, 1], [0, 1, 0], TWO)
    write_report(tmp_path / "a" / "report", report_of(dev=dev), HISTORY)
    content = strict(tmp_path / "a" / "report" / "report.json")
    assert content["settings"] == {"lr": 2e-5, "dev": str(Path("data") / "dev.txt")}
    assert content["label_names"] == TWO and content["history"] == HISTORY
    assert content["splits"] == {"dev": json.loads(json.dumps(dev.to_dict()))}


def test_a_report_has_the_curves_and_a_matrix_of_each_labelled_split(tmp_path):
    splits = {
        "dev": score([0, 1], [0, 0], TWO),
        "test": score([1, 0, -1], [1, 1, 1], TWO),
        "withheld": score([0, 0], [1, 0], TWO),
        "unlabelled": score([-1], [0], TWO),
    }
    written = write_report(tmp_path, report_of(**splits), HISTORY)
    pictures = ["loss.png", "accuracy.png", "confusion-dev.png", "confusion-test.png"]
    assert strict(tmp_path / "report.json")["plots"] == pictures
    assert written == {name: tmp_path / name for name in ("report.json", *pictures)}
    assert {path.name for path in tmp_path.iterdir()} == set(written)
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG\r\n") for name in pictures)


def test_a_report_without_history_has_only_matrices(tmp_path):
    written = write_report(tmp_path, report_of(dev=score([0, 1], [0, 0], TWO)))
    assert list(written) == ["report.json", "confusion-dev.png"]
    assert strict(tmp_path / "report.json")["history"] is None


def test_a_diverged_run_is_null_in_the_json_and_still_drawn(tmp_path):
    steps = [{"step": n, "loss": loss} for n, loss in enumerate([1.0, math.inf, math.nan], 1)]
    written = write_report(tmp_path, report_of(), {"steps": steps, "epochs": [{"epoch": 1, "train_loss": math.nan}]})
    history = strict(tmp_path / "report.json")["history"]
    assert [step["loss"] for step in history["steps"]] == [1.0, None, None]
    assert history["epochs"] == [{"epoch": 1, "train_loss": None}]
    assert "loss.png" in written


def test_a_second_report_replaces_the_first(tmp_path):
    for predictions in ([0, 1], [1, 1]):
        scores = score([0, 1], predictions, TWO)
        write_report(tmp_path, report_of(dev=scores))
    assert strict(tmp_path / "report.json")["splits"]["dev"]["accuracy"] == scores.accuracy == 0.5


def test_a_report_opens_to_the_same_people_as_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    written = write_report(tmp_path, report_of(dev=score([0, 1], [0, 0], TWO)))
    assert {path.stat().st_mode for path in written.values()} == {(tmp_path / "plain").stat().st_mode}


def test_a_report_where_a_file_stands_in_the_way_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "report").write_text("mine")
    with pytest.raises(UserError, match="report cannot be written: "):
        write_report(tmp_path / "report", report_of(dev=score([0, 1], [0, 0], TWO)))
    assert (tmp_path / "report").read_text() == "mine"


def test_a_matrix_takes_one_line_a_row_at_most_in_the_json(tmp_path):
    write_report(tmp_path, report_of(dev=score([0, 1], [0, 0], TWO)))
    assert '"confusion": [[1, 0], [1, 0]]' in (tmp_path / "report.json").read_text()


def test_hardware_names_the_processor_and_the_version_of_torch():
    facts = results.hardware(torch.device("cpu"))
    assert facts["device"] == "cpu" and facts["name"] and facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    json.dumps(facts)


def test_importing_results_loads_no_heavy_library():
    heavy = "torch sklearn matplotlib rich numpy".split()
    code = f"import sys, llamalab.evaluation.results; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
