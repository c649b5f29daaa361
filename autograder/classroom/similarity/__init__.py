"""``python -m autograder similarity``: which submissions share code that is neither the handout's nor everybody's.

Every run of twelve tokens is a fingerprint, as in Schleimer, Wilkerson & Aiken 2003, "Winnowing"; solutions are short
enough to keep them all. Nothing of a submission is executed.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from autograder import editions
from autograder.classroom.reports.csv_gradebook import as_text, cell
from autograder.classroom.similarity import pages
from autograder.classroom.similarity.pairs import Comparison, Pair
from autograder.classroom.similarity.source_code import Code, Reader
from autograder.editions import Edition
from autograder.engine import marks
from autograder.intake import opening
from llamalab import text
from llamalab.errors import UserError
from llamalab.files import write_text

LISTED = 200  # pairs with a page
PRINTED = 10
LONGEST_SLUG = 110  # characters; two must fit into a file's name
PAGE = re.compile(r"[a-z0-9._-]+--[a-z0-9._-]+\.html")


@dataclass(frozen=True, eq=False)
class Submitted:
    """The submissions that are compared, in one order, and what is left out and why."""

    names: list[str]
    slugs: list[str]
    codes: list[Code]
    left_out: list[tuple[str, str]]


def run(edition_name: str, submissions: Path, out: Path) -> int:
    """Compare every two submissions of a folder and write the pages; the exit status is 0.

    Raises:
        UserError: fewer than two can be compared, or ``out`` cannot be written.
    """
    edition = editions.load(edition_name)
    if out.resolve().is_relative_to(submissions.resolve()):
        raise UserError(f"{out} is inside {submissions} and would be taken for a submission; write somewhere else")
    reader = Reader(handout(edition))
    submitted = read(submissions, edition, reader)
    for name, reason in submitted.left_out:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    if len(submitted.codes) < 2:
        raise UserError(
            f"{submissions} has {marks.count(len(submitted.codes), 'submission')} to compare; it takes two or more"
        )
    comparison = Comparison(submitted.codes, reader.count)
    try:
        write(edition, submitted, comparison, out)
    except OSError as error:
        raise UserError(f"{error.filename or out} cannot be written: {error.strerror}; name another folder") from error
    print(_summary(submitted, comparison.pairs), end="")
    print(f"{out / 'index.html'}, {out / 'pairs.csv'}")
    return 0


def read(submissions: Path, edition: Edition, reader: Reader) -> Submitted:
    """Open every submission of a folder.

    Raises:
        UserError: the folder cannot be read.
    """
    found = opening.find(submissions)
    count = Counter(each.student for each in found)
    result = Submitted([], [], [], [])
    for each in tqdm(found, "reading", delay=2, leave=False, disable=None):
        name = text.line(each.student if count[each.student] == 1 else f"{each.student} ({each.slug})") or each.slug
        try:
            code, unread = reader.read(opening.open_submission(each.path, edition).files)
        except opening.Refused as problem:
            result.left_out.append((name, text.line(problem.reason, 300)))
            continue
        result.left_out.extend((name, f"{file}: {reason}") for file, reason in unread.items())
        result.names.append(name)
        result.slugs.append(each.slug)
        result.codes.append(code)
    return result


def handout(edition: Edition) -> list[str]:
    """Every Python file of the edition's handout."""
    from autograder.instructor.handout import assemble

    files = assemble(edition).files
    return [content.decode("utf-8") for path, content in files.items() if path.endswith(".py")]


def write(edition: Edition, submitted: Submitted, comparison: Comparison, out: Path) -> None:
    """Write the list, the table and the pages, and take away pages of an earlier run.

    Raises:
        OSError: something cannot be written.
    """
    folder = out / "pairs"
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for pair in tqdm(comparison.pairs[:LISTED], "pages", delay=2, leave=False, disable=None):
        page = "--".join(submitted.slugs[side][:LONGEST_SLUG] for side in (pair.first, pair.second)) + ".html"
        write_text(folder / page, pages.pair_page(edition, comparison, submitted.names, pair))
        listed.append((pair, f"pairs/{page}", *comparison.files(pair)))
    write_text(out / "pairs.csv", table(submitted.names, comparison))
    write_text(out / "index.html", pages.index(edition, comparison, submitted.names, listed, submitted.left_out))
    written = {Path(page).name for _, page, *_ in listed}
    for path in folder.iterdir():
        if PAGE.fullmatch(path.name) and path.name not in written:
            path.unlink()


def table(names: Sequence[str], comparison: Comparison) -> str:
    """Every pair that shares anything as a row; no text in it can become a formula."""
    sides = ("first", "second")
    numbers = [f"{what}_{side}" for what in ("shared_tokens", "own_tokens", "percent") for side in sides]
    rows: list[list[str | float]] = [["rank", *sides, *numbers]]
    for rank, pair in enumerate(comparison.pairs, 1):
        percents = (round(100 * shared / own, 1) for shared, own in zip(pair.tokens, pair.own, strict=True))
        rows.append([rank, cell(names[pair.first]), cell(names[pair.second]), *pair.tokens, *pair.own, *percents])
    return as_text(rows)


def _summary(submitted: Submitted, pairs: Sequence[Pair]) -> str:
    lines = [
        f"{len(submitted.codes)} submissions compared, without the handout's code; {len(pairs)} pairs share something"
    ]
    if pairs:
        lines.append("tokens  of each one's own  the pairs that share most")
    for pair in pairs[:PRINTED]:
        first, second = (marks.percent(shared, own) for shared, own in zip(pair.tokens, pair.own, strict=True))
        names = f"{submitted.names[pair.first]}, {submitted.names[pair.second]}"
        lines.append(f"{min(pair.tokens):>6}  {first:>7} and {second:>5}  {names}")
    return "\n".join(lines) + "\n"
