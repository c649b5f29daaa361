"""Labelled sentences: what is read, what is refused and how, and the names of the labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llamalab.data.sentences import Example, label_counts, read_examples, read_label_names
from llamalab.errors import UserError
from tests.data_files import write

__all__ = ["write"]  # a fixture


def refusal(path: Path, n_labels: int | None = None) -> str:
    with pytest.raises(UserError) as refused:
        read_examples(path, n_labels)
    message = str(refused.value)
    assert "\n" not in message
    return message


# Reading


@pytest.mark.parametrize(
    ("name", "size", "n_labels"),
    [
        ("sst-train", 8544, 5),
        ("sst-dev", 1101, 5),
        ("sst-test", 2210, 5),
        ("cfimdb-train", 1707, 2),
        ("cfimdb-dev", 245, 2),
        ("cfimdb-test", 488, 2),
    ],
)
def test_every_line_of_the_courses_files_is_an_example(asset, name, size, n_labels):
    examples = read_examples(asset(name), n_labels)
    assert len(examples) == size and all(example.sentence for example in examples)


def test_the_real_label_names_are_read_in_order(asset):
    assert read_label_names(asset("sst-label-mapping")) == ["awful", "bad", "average", "good", "excellent"]
    assert read_label_names(asset("cfimdb-label-mapping")) == ["bad", "good"]


def test_only_the_first_separator_of_a_line_separates(write):
    assert read_examples(write("1 ||| a ||| b|||c\n")) == [Example(1, "a ||| b|||c")]


@pytest.mark.parametrize("line", ["1 ||| ", "1 |||", "1 |||   "])
def test_an_empty_sentence_is_an_example_wherever_it_stands(write, line):
    assert read_examples(write(f"{line}\n0 ||| a\n{line}")) == [Example(1, ""), Example(0, "a"), Example(1, "")]


def test_minus_one_is_a_label_that_nobody_knows(write):
    assert read_examples(write("-1 ||| a\n"), n_labels=2) == [Example(-1, "a")]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("0 ||| a\n1 ||| é", id="no last newline"),
        pytest.param("0 ||| a\r\n1 ||| é\r\n", id="windows"),
        pytest.param("\ufeff0 ||| a\n1 ||| é\n\n", id="byte-order mark and blank last line"),
        pytest.param("0 ||| a\r1 ||| é\r", id="old mac"),
        pytest.param("0 ||| a\n1 ||| é\n \r\n", id="spaces on the last line"),
    ],
)
def test_the_same_examples_come_out_however_an_editor_saved_them(write, content):
    assert read_examples(write(content)) == [Example(0, "a"), Example(1, "é")]


def test_a_line_separator_of_unicode_is_part_of_the_sentence(write):
    assert read_examples(write("0 ||| a\u2028b\x85c\n")) == [Example(0, "a\u2028b\x85c")]


# Refusing


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"just words", "line 2 has no ' ||| ': 'just words'"),
        (b"1|||tight", "line 2 has no ' ||| '"),
        (b"good ||| a", "line 2 has the label 'good', which is not a whole number"),
        (b"1.0 ||| a", "line 2 has the label '1.0', which is not a whole number"),
        ("١ ||| a".encode(), "which is not a whole number"),
        (b"9" * 5000 + b" ||| a", "which is not a whole number"),
        (b" ||| a", "line 2 has the label '', which is not a whole number"),
        (b"5 ||| a", "line 2 has the label 5, out of range for a mapping of 5 label names"),
        (b"-2 ||| a", "line 2 has the label -2, out of range"),
        (b"1 ||| caf\xe9", "line 2 has the byte 0xe9, which is not UTF-8"),
        (b"", "line 2 is empty"),
    ],
)
def test_a_wrong_line_is_named_with_its_number_and_the_remedy(write, line, reason):
    path = write(b"0 ||| a\r\n" + line + b"\r\n1 ||| b\r\n")
    message = refusal(path, n_labels=5)
    assert message.startswith(f"{path}: 1 of 3 lines cannot be used: ") and reason in message
    remedy = "every line must be `label ||| sentence` in UTF-8, with a label from 0 to 4 or -1 for unknown"
    assert message.endswith(remedy)
    assert len(message) < 400


def test_of_many_wrong_lines_the_first_are_shown_and_the_others_counted(write):
    message = refusal(write("0 ||| a\n" + "nothing\n" * 10))
    assert "10 of 11 lines" in message and "; and 7 more;" in message
    assert [f"line {number} " in message for number in (2, 3, 4, 5)] == [True, True, True, False]


def test_without_a_mapping_every_label_from_minus_one_up_is_accepted(write):
    assert read_examples(write("70 ||| a\n")) == [Example(70, "a")]
    assert "label -2, out of range" in refusal(write("-2 ||| a\n"))


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_a_file_without_examples_is_refused(write, content):
    assert "data.txt holds no examples; every line must be" in refusal(write(content))


def test_a_folder_is_refused_in_a_sentence(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path} cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("sst-train.txt", "fetch it with `python -m llamalab.assets fetch sst`"),
        ("cfimdb-dev.txt", "fetch it with `python -m llamalab.assets fetch cfimdb`"),
        ("wikitext2-test.txt", "fetch it with `python -m llamalab.assets fetch wikitext2-test`"),
        ("imdb-dev.txt", "make it with `python -m llamalab.data prepare imdb`"),
        ("rotten-tomatoes-test.txt", "make it with `python -m llamalab.data prepare rotten-tomatoes`"),
        ("mine.txt", "check the path"),
    ],
)
def test_a_missing_file_is_named_with_the_one_command_that_brings_it(tmp_path, monkeypatch, name, remedy):
    monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path))
    path = tmp_path / "data" / name
    assert refusal(path) == f"{path} does not exist; {remedy}"


def test_a_missing_label_mapping_is_named_with_the_command_too(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path))
    with pytest.raises(UserError, match="does not exist; fetch it with `python -m llamalab.assets fetch sst`"):
        read_label_names(tmp_path / "sst-label-mapping.json")


def test_a_file_that_is_here_under_another_folder_is_pointed_out(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path))
    here = tmp_path / "data" / "sst-train.txt"
    here.parent.mkdir()
    here.write_text("0 ||| a\n")
    assert refusal(tmp_path / "sst-train.txt").endswith(f"does not exist; a file of that name is {here}")


# Label names and counts


@pytest.mark.parametrize(
    "tree", [["bad", "good"], {"good": 1, "bad": 0}, {"1": "good", "0": "bad"}], ids=["list", "name: id", "id: name"]
)
def test_label_names_come_in_the_order_of_their_ids(write, tree):
    assert read_label_names(write(json.dumps(tree))) == ["bad", "good"]


@pytest.mark.parametrize(
    "tree",
    [
        *([], {}, 3, "bad", ["bad", 1], ["bad", "bad"], ["bad", " "], [["bad"]], {"a": "b"}),
        *({"bad": 1, "good": 2}, {"bad": 0, "good": 0}, {"bad": 0, "good": True}, {"bad": 0, "good": 1.0}),
        *({"bad": 0, "good": "1"}, {"0": "bad", "2": "good"}, {"0": "bad", "1": "bad"}),
    ],
)
def test_label_names_that_leave_an_id_open_are_refused(write, tree):
    with pytest.raises(UserError, match="names.json does not name the labels 0, 1, 2 ... once each; write a list"):
        read_label_names(write(json.dumps(tree), "names.json"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000], ids=["empty", "cut", "binary", "deep"])
def test_a_label_mapping_that_is_not_json_is_refused(write, content):
    with pytest.raises(UserError, match="names.json is not JSON"):
        read_label_names(write(content, "names.json"))


def test_labels_are_counted_with_the_unknown_ones():
    examples = [Example(label, "") for label in (1, 0, 1, -1, 1)]
    assert label_counts(examples) == {-1: 1, 0: 1, 1: 3}
