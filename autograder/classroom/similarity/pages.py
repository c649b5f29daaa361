"""The pages: the list of pairs, and one a pair with both sides. They are laid out like the class's, and as closed."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from autograder.classroom import reports
from autograder.classroom.reports import pages
from autograder.classroom.similarity.pairs import Comparison, FilePart, Pair
from autograder.classroom.similarity.source_code import Code
from autograder.editions import Edition
from autograder.engine import marks
from llamalab import text

TEMPLATES = Path(__file__).with_name("templates")
LAYOUT = Path(reports.__file__).with_name("templates")
AROUND = 3  # lines shown before and after a shared one
WIDTH = 300  # characters of a line
LINES = 400  # of a file
TINTS = 5


@dataclass(frozen=True)
class Piece:
    """A part of a line: ``region`` is 0 where it is not shared; ``begins`` where the region does."""

    text: str
    region: int = 0
    begins: bool = False


@dataclass(frozen=True)
class Line:
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
    return _render(
        "index.html",
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
    return _render(
        "pair.html",
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
    ends = [*spans[1:, 0].tolist(), length]
    after = [*regions[1:].tolist(), 0]
    for (start, stop), region, next_start, next_region in zip(
        spans.tolist(), regions.tolist(), ends, after, strict=True
    ):
        if region:
            found[start : next_start if next_region == region else stop] = region
    return found


def _lines(source: str, regions: np.ndarray, begun: set[int]) -> Iterator[Line]:
    """The lines with something shared and those around them; in place of others how many they are."""
    lines, starts, at = source.split("\n"), [], 0
    for line in lines:
        starts.append(at)
        at += len(line) + 1
    marked = [
        i for i, (line, start) in enumerate(zip(lines, starts, strict=True)) if regions[start : start + len(line)].any()
    ]
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


def _render(template: str, **facts: object) -> str:
    style = _style()
    facts |= {"style": Markup(style), "policy": pages.policy(style, "")}
    return _environment().get_template(template).render(facts)


@functools.cache
def _style() -> str:
    return (LAYOUT / "style.css").read_text("utf-8") + (TEMPLATES / "similarity.css").read_text("utf-8")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader([TEMPLATES, LAYOUT]),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"percent": marks.percent, "count": marks.count, "tints": TINTS}
    return environment
