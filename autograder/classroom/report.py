"""``python -m autograder report``: the pages and tables of a class, from its gradebook."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from autograder import editions
from autograder.classroom.gradebook import FILE, Gradebook
from autograder.classroom.records import Record
from autograder.classroom.reports import csv_gradebook, gradescope_results, junit, pages
from autograder.editions import Edition
from autograder.engine import marks
from llamalab.errors import UserError
from llamalab.files import write_text

SLUG = re.compile(r"[A-Za-z0-9._-]{1,200}")


def run(results: Path, edition_name: str | None = None) -> int:
    """Write everything again and say where it is; the exit status is 0.

    Args:
        edition_name: where the gradebook's own is not among ``courses``, the path of its TOML.

    Raises:
        UserError: there is no gradebook, or something cannot be written.
    """
    with Gradebook(results / FILE) as gradebook:
        records, edition = gradebook.records(), editions.load(edition_name or gradebook.edition)
    write(records, edition, results)
    print(f"{marks.count(len(records), 'student')}: {results / 'index.html'}, {results / 'gradebook.csv'}")
    return 0


def write(records: Sequence[Record], edition: Edition, out: Path) -> None:
    """Write the pages, the tables and what other programs read into ``out``; the same records give the same bytes.

    Raises:
        UserError: a file cannot be written, or a slug is none.
    """
    records = sorted(records, key=lambda record: record.slug)
    for record in records:
        if not SLUG.fullmatch(record.slug):
            raise UserError(f"{record.slug!r} cannot name a file; a slug has ASCII letters, digits, '.', '_' and '-'")
    try:
        for folder in ("students", "gradescope"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        files = _files(records, edition)
        for path, content in tqdm(files, "pages", 2 * len(records) + 3, leave=False, disable=None, delay=1):
            write_text(out / path, content)
    except OSError as error:
        raise UserError(f"{error.filename or out} cannot be written: {error.strerror}; is the disk full?") from error


def _files(records: Sequence[Record], edition: Edition) -> Iterator[tuple[str, str]]:
    """Path and content of each file."""
    for record in records:
        yield f"students/{record.slug}.html", pages.student(record, edition)
        yield f"gradescope/{record.slug}.json", gradescope_results.to_json(record)
    yield "gradebook.csv", csv_gradebook.table(records)
    yield "junit.xml", junit.xml(records)
    yield "index.html", pages.class_page(records, edition)
