"""Who shares how much with whom, of what is neither in the handout nor in more than a third of the submissions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from autograder.classroom.similarity.source_code import NO_RUN, RUN, Code, covered

SMALL_CLASS = 10  # below, nothing counts as what everybody has
STRETCHES = 20  # of what many have, listed


class Pair(NamedTuple):
    """Two submissions, by index, and how many tokens of each one's own code are also in the other.

    Args:
        tokens: shared, on either side; a stretch that one of them repeats counts there as often.
        own: all that could have been shared.
    """

    first: int
    second: int
    tokens: tuple[int, int]
    own: tuple[int, int]

    @property
    def score(self) -> float:
        """Much, and much of what is theirs: neither one formula of two lines nor a tenth of a long text comes first."""
        return min(self.tokens) * max(shared / own for shared, own in zip(self.tokens, self.own, strict=True))


class FilePart(NamedTuple):
    """What a file has of a pair's shared code, on one side."""

    name: str
    tokens: int
    own: int
    lines: int


class Stretch(NamedTuple):
    """Code that does not count because too many have it, as it stands in the first one's file."""

    text: str
    tokens: int
    holders: tuple[int, ...]


class Comparison:
    """Every submission against every other.

    Args:
        codes: all read by one reader.
        runs: how many different runs there are in them.
    """

    def __init__(self, codes: Sequence[Code], runs: int) -> None:
        self.codes = codes
        self._runs = runs
        self._distinct = [np.unique(code.runs[code.runs != NO_RUN]) for code in codes]
        self._holders = np.bincount(np.concatenate(self._distinct), minlength=runs)
        most = len(codes) // 3 if len(codes) >= SMALL_CLASS else len(codes)
        self._common = self._holders > most
        self._own = [covered(self._where(code, ~self._common)) for code in codes]

    @cached_property
    def pairs(self) -> list[Pair]:
        """Those that share anything, most suspicious first."""
        own = [int(tokens.sum()) for tokens in self._own]
        shared = self._shared()
        found = [
            Pair(a, b, (int(shared[a, b]), int(shared[b, a])), (own[a], own[b]))
            for a, b in np.argwhere(np.triu(shared, 1)).tolist()
        ]
        return sorted(found, key=lambda pair: (-pair.score, pair.first, pair.second))

    def without_own(self) -> list[int]:
        """The submissions in which there is nothing to compare."""
        return [index for index, tokens in enumerate(self._own) if not tokens.any()]

    def files(self, pair: Pair) -> tuple[list[FilePart], list[FilePart]]:
        """The files of either side that share something."""
        first, second = (self._parts(a, self._shared_tokens(a, b)) for a, b in self._both_ways(pair))
        return first, second

    def regions(self, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
        """For every token of either side the number of the region it shares, 0 for none.

        A region is a stretch that stands in both without interruption. Regions are numbered as they come in the first.
        """
        starts = [self._where(self.codes[a], self._has(b)) for a, b in self._both_ways(pair)]
        runs, others = self.codes[pair.first].runs, self.codes[pair.second].runs
        place = {run: at for at, run in reversed([*enumerate(others.tolist())])}
        region: dict[int, int] = {}
        at_before = other_before = -2  # before no token
        current = newest = 0
        for at in np.flatnonzero(starts[0]).tolist():
            run = int(runs[at])
            if run in region:
                current = region[run]
            elif (at, place[run]) == (at_before + 1, other_before + 1):
                region[run] = current
            else:
                newest += 1
                current = region[run] = newest
            at_before, other_before = at, place[run]
        return self._numbered(pair.first, starts[0], region), self._numbered(pair.second, starts[1], region)

    def common(self) -> list[Stretch]:
        """The longest stretches that do not count because too many have them."""
        found: dict[tuple[int, ...], tuple[int, int]] = {}
        for index, code in enumerate(self.codes):
            for start, stop in _stretches(self._where(code, self._common)):
                found.setdefault(tuple(code.runs[start:stop].tolist()), (index, start))
        listed: list[Stretch] = []
        seen: set[int] = set()
        for runs, (index, start) in sorted(found.items(), key=lambda entry: -len(entry[0])):
            if seen.isdisjoint(runs) and len(listed) < STRETCHES:
                seen.update(runs)
                listed.append(self._stretch(index, start, runs))
        return listed

    def _shared(self) -> np.ndarray:
        """(submissions, submissions): how many tokens of the first are also in the second."""
        starts = [np.flatnonzero(self._where(code, ~self._common & (self._holders > 1))) for code in self.codes]
        runs = [code.runs[at] for code, at in zip(self.codes, starts, strict=True)]
        shared = np.zeros((len(self.codes), len(self.codes)), dtype=np.int64)
        for b in tqdm(range(len(self.codes)), "comparing", delay=2, leave=False, disable=None):
            has = self._has(b)
            for a in range(len(self.codes)):
                if a != b:
                    at = starts[a][has[runs[a]]]
                    shared[a, b] = RUN + np.minimum(np.diff(at), RUN).sum() if at.size else 0
        return shared

    def _has(self, index: int) -> np.ndarray:
        """Which runs a submission has that count."""
        has = np.zeros(self._runs, dtype=bool)
        has[self._distinct[index]] = True
        return has & ~self._common

    def _where(self, code: Code, wanted: np.ndarray) -> np.ndarray:
        """At which tokens a run begins that is wanted."""
        return (code.runs != NO_RUN) & wanted[code.runs] if len(wanted) else np.zeros(len(code.runs), dtype=bool)

    def _both_ways(self, pair: Pair) -> tuple[tuple[int, int], tuple[int, int]]:
        return (pair.first, pair.second), (pair.second, pair.first)

    def _shared_tokens(self, a: int, b: int) -> np.ndarray:
        return covered(self._where(self.codes[a], self._has(b)))

    def _parts(self, index: int, shared: np.ndarray) -> list[FilePart]:
        parts = []
        for at, source in enumerate(self.codes[index].sources):
            inside = self.codes[index].file == at
            tokens, own = shared[inside], self._own[index][inside]
            if tokens.any():
                lines = len(np.unique(source.lines[tokens]))
                parts.append(FilePart(source.name, int(tokens.sum()), int(own.sum()), lines))
        return parts

    def _numbered(self, index: int, starts: np.ndarray, region: dict[int, int]) -> np.ndarray:
        runs = self.codes[index].runs
        numbers = np.zeros(len(runs), dtype=np.int64)
        for at in np.flatnonzero(starts).tolist():
            numbers[at : at + RUN] = region[int(runs[at])]
        return numbers

    def _stretch(self, index: int, start: int, runs: tuple[int, ...]) -> Stretch:
        code = self.codes[index]
        source = code.sources[code.file[start]]
        first = start - int(np.searchsorted(code.file, code.file[start]))
        tokens = len(runs) + RUN - 1
        text = source.text[source.spans[first, 0] : source.spans[first + tokens - 1, 1]]
        holders = (i for i, distinct in enumerate(self._distinct) if np.isin(runs, distinct, kind="sort").all())
        return Stretch(text, tokens, tuple(holders))


def _stretches(starts: np.ndarray) -> Iterator[tuple[int, int]]:
    """Begin and end of every unbroken row of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], starts, [False])).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
