"""The pages: the list of pairs, and one a pair with both sides. They are laid out like the class's, and as closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autograder.classroom.reports import pages
from autograder.classroom.similarity.pairs import Comparison, FilePart, Pair
from autograder.classroom.similarity.source_code import Code
from autograder.editions import Edition
from llamalab import text

TEMPLATES = Path(__file__).with_name("templates")
AROUND = 3  # lines shown before and after a shared one
WIDTH = 300  # characters of a line
LINES = 400  # of a file
TINTS = 5


class Piece(NamedTuple):
    """A part of a line: ``region`` is 0 where it is not shared; ``begins`` where the region does."""

    text: str
    region: int = 0
    begins: bool = False


class Line(NamedTuple):
    """A line, or ``skipped`` lines in its place."""

    number: int
    pieces: tuple[Piece, ...] = ()
    skipped: int = 0


def index(
    edition: Edition,
    comparison: Comparison,
    names: Sequence[str],
    listed: Sequence[tuple[Pair, str, list[FilePart], list[FilePart]]],
    left_out: Sequence[tuple[str, str]],
) -> str:
    """The list of pairs, each with the address of its page, and what was left out."""
    tokens = [min(pair.tokens) for pair in comparison.pairs]
    total = len(names) * (len(names) - 1) // 2
    usual = np.percentile([*tokens, *[0] * (total - len(tokens))], [50, 95], method="lower").astype(int).tolist()
    return pages.render(
        "index.html",
        "similarity.css",
        folder=TEMPLATES,
        title=edition.title,
        names=names,
        total=total,
        sharing=len(tokens),
        usual=usual,
        listed=listed,
        left_out=left_out,
        without_own=[names[index] for index in comparison.without_own()],
        common=[
            (stretch.tokens, text.lines(stretch.text, most=12), [names[holder] for holder in stretch.holders])
            for stretch in comparison.common()
        ],
    )


def pair_page(edition: Edition, comparison: Comparison, names: Sequence[str], pair: Pair) -> str:
    """Both sides of a pair, file by file, with what they share marked."""
    sides = (pair.first, pair.second)
    regions, parts = comparison.regions(pair), comparison.files(pair)
    columns = [dict(_columns(comparison.codes[side], found)) for side, found in zip(sides, regions, strict=True)]
    shown = [part.name for part in parts[0]]
    shown += [part.name for part in parts[1] if part.name not in shown]
    rows = [{part.name: part for part in each} for each in parts]
    return pages.render(
        "pair.html",
        "similarity.css",
        folder=TEMPLATES,
        tints=TINTS,
        title=edition.title,
        pair=pair,
        names=[names[side] for side in sides],
        files=[(name, [row.get(name) for row in rows], [column.get(name, []) for column in columns]) for name in shown],
        lines=[sum(part.lines for part in each) for each in parts],
        linked=set(np.unique(regions[0]).tolist()) & set(np.unique(regions[1]).tolist()),
    )


def _columns(code: Code, regions: np.ndarray) -> Iterator[tuple[str, list[Line]]]:
    """The lines to show of each file that shares something."""
    begun: set[int] = set()
    for number, source in enumerate(code.sources):
        inside = code.file == number
        found = regions[inside]
        if found.any():
            yield source.name, list(_lines(source.text, _characters(len(source.text), source.spans, found), begun))


def _characters(length: int, spans: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """For every character of a text the region it is in: its token's, or that of the tokens on both sides of it."""
    found = np.zeros(length, dtype=np.int64)
    goes_on = np.append(regions[1:], 0) == regions
    stops = np.where(goes_on, np.append(spans[1:, 0], length), spans[:, 1])
    for start, stop, region in zip(spans[:, 0].tolist(), stops.tolist(), regions.tolist(), strict=True):
        found[start:stop] = region
    return found


def _lines(source: str, regions: np.ndarray, begun: set[int]) -> Iterator[Line]:
    """The lines with something shared and those around them; in place of others how many they are."""
    lines = source.split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    marked = [i for i, line in enumerate(lines) if regions[starts[i] : starts[i] + len(line)].any()]
    near = sorted({i for at in marked for i in range(max(0, at - AROUND), min(len(lines), at + AROUND + 1))})
    before = -1
    for i in near[:LINES]:
        if i > before + 1:
            yield Line(i, skipped=i - before - 1)
        yield Line(i + 1, tuple(_pieces(lines[i], regions[starts[i] :], begun)))
        before = i
    if before + 1 < len(lines):
        yield Line(len(lines), skipped=len(lines) - before - 1)


def _pieces(line: str, regions: np.ndarray, begun: set[int]) -> Iterator[Piece]:
    """A line cut where regions begin and end. Blanks before its first character are in none."""
    shown = line[:WIDTH]
    blank = len(shown) - len(shown.lstrip())
    found = [0] * blank + regions[blank : len(shown)].tolist()
    at = 0
    for region, characters in groupby(found):
        length = len(list(characters))
        yield Piece(text.plain(shown[at : at + length]), region, bool(region) and region not in begun)
        begun.add(region)
        at += length
    if len(line) > WIDTH:
        yield Piece(f"… ({len(line) - WIDTH} more characters)")
