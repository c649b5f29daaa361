"""Source code as runs of tokens, which renaming, reordering and reformatting leave alike. Nothing is executed.

The scanner takes any text, however broken, in time proportional to its length: no quantifier of its pattern gives
anything back.
"""

from __future__ import annotations

import codecs
import io
import keyword
import re
import tokenize
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

from autograder.intake.opening import Refused

RUN = 12  # tokens: the shortest stretch that counts; anybody's formulas are alike for less
NO_RUN = -1
LARGEST = 100_000  # bytes of one file
MOST_TOKENS = 10_000  # of one file; a solved one has about 2,000
SLOW_ENCODINGS = ("punycode", "idna")  # decoded in Python, in quadratic time

# Python's tokens, near enough. What is not closed ends with its line, or with the file.
TOKEN = re.compile(
    r"""
      (?P<blank> \s++ | \\\n | \#[^\n]*+ )
    | (?P<block> [a-zA-Z]{0,2} (?: \"{3} (?: [^"\\] | \\(?:.|\Z) | "(?!"") )*+ (?: \"{3} | \Z )
                                 | '{3} (?: [^'\\] | \\(?:.|\Z) | '(?!'') )*+ (?: '{3} | \Z ) ) )
    | (?P<string> [a-zA-Z]{0,2} (?: " (?: [^"\\\n] | \\(?:.|\Z) )*+ "? | ' (?: [^'\\\n] | \\(?:.|\Z) )*+ '? ) )
    | (?P<number> \.?\d[\w.]*+ )
    | (?P<name> \w++ )
    | (?P<operator> -> | := | \*\*=? | //=? | >>=? | <<=? | [-+*/%&|^@=!<>]= | . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Unreadable(Refused):
    """A file that is not compared."""


@dataclass(frozen=True, eq=False)
class SourceText:
    """One file.

    Args:
        spans: (tokens, 2): where each token begins and ends in the text.
        lines: for every token, the number of its line.
        runs: for every token, the number of the run that begins there; ``NO_RUN`` where none does, or one that the
            handout has a part of.
    """

    name: str
    text: str
    spans: np.ndarray
    lines: np.ndarray
    runs: np.ndarray


@dataclass(frozen=True, eq=False)
class Code:
    """One submission: its files' tokens, one file after the other."""

    sources: tuple[SourceText, ...]

    @cached_property
    def runs(self) -> np.ndarray:
        return np.concatenate([source.runs for source in self.sources])

    @cached_property
    def file(self) -> np.ndarray:
        """For every token, the index of its file."""
        return np.repeat(np.arange(len(self.sources)), [len(source.runs) for source in self.sources])


class Reader:
    """Reads submissions so that the same run has the same number in all of them.

    Args:
        handout: the text of every file that was handed out. What is in it is nobody's own.
    """

    def __init__(self, handout: Iterable[str]) -> None:
        self._words: dict[str, int] = {}
        self._numbers: dict[tuple[int, ...], int] = {}
        self._handed_out = {run for text in handout for run in self._runs([word for word, _, _ in tokens(text)])}

    @property
    def count(self) -> int:
        """How many different runs the submissions have."""
        return len(self._numbers)

    def read(self, files: Mapping[str, bytes]) -> tuple[Code, dict[str, str]]:
        """A submission, and for every file that is left out of it the reason.

        Raises:
            Unreadable: every file is left out.
        """
        sources, left_out = [], {}
        for name, data in files.items():
            try:
                sources.append(self._source(name, data))
            except Unreadable as problem:
                left_out[name] = problem.reason
        if not sources:
            raise Unreadable("; ".join(f"{name}: {reason}" for name, reason in left_out.items()))
        return Code(tuple(sources)), left_out

    def _source(self, name: str, data: bytes) -> SourceText:
        text = decoded(data)
        found = list(islice(tokens(text), MOST_TOKENS + 1))
        if len(found) > MOST_TOKENS:
            raise Unreadable(f"it has more than {MOST_TOKENS:,} tokens; a solution has a few thousand")
        runs = self._runs([word for word, _, _ in found])
        handed_out = np.zeros(len(found), dtype=bool)
        handed_out[: len(runs)] = [run in self._handed_out for run in runs]
        numbers = np.full(len(found), NO_RUN, dtype=np.int64)
        for at in _starts_outside(covered(handed_out)):
            numbers[at] = self._numbers.setdefault(runs[at], len(self._numbers))
        spans = np.array([span for _, *span in found], dtype=np.int64).reshape(-1, 2)
        ends = [match.end() for match in re.finditer("\n", text)]
        lines = np.searchsorted(np.array(ends, dtype=np.int64), spans[:, 0], side="right")
        return SourceText(name, text, spans, lines, numbers)

    def _runs(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        numbers = [self._words.setdefault(word, len(self._words)) for word in words]
        return list(zip(*(numbers[start:] for start in range(RUN)), strict=False))


def tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """What each token is compared as, and where it begins and ends.

    Comments, docstrings and layout do not count. Names that a student chooses are all alike, texts too; keywords,
    numbers, and what is called on modules and tensors (``x.softmax``) stay, because a copy cannot rename them.
    """
    before, last = "", ""
    for match in TOKEN.finditer(text):
        kind, word = match.lastgroup, match.group()
        if kind in ("blank", "block"):
            continue
        yield _compared(kind, word, before, last), match.start(), match.end()
        before, last = last, word


def _compared(kind: str | None, word: str, before: str, last: str) -> str:
    if kind == "string":
        return '""'
    if kind != "name" or keyword.iskeyword(word):
        return word
    if last == "." and before != "self":
        return "." + (word if word.isascii() else unicodedata.normalize("NFKC", word))
    return "name"


def decoded(data: bytes) -> str:
    """A file's text, as Python would read it, with a replacement character for every byte that is none.

    Raises:
        Unreadable: it is too large, or in an encoding that takes too long.
    """
    if len(data) > LARGEST:
        raise Unreadable(f"it is larger than {LARGEST:,} bytes; a solution is not")
    try:
        encoding = codecs.lookup(tokenize.detect_encoding(io.BytesIO(data).readline)[0]).name
    except (SyntaxError, LookupError):
        encoding = "utf-8"
    if encoding in SLOW_ENCODINGS:
        raise Unreadable(f"it is encoded as {encoding}; source code is not")
    try:
        text = data.decode(encoding, "replace")
    except (LookupError, ValueError):  # not an encoding of text, or a damaged file
        text = data.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def covered(starts: np.ndarray) -> np.ndarray:
    """Which tokens are in a run, from which tokens begin one."""
    before = np.concatenate((np.zeros(RUN, dtype=np.int64), np.cumsum(starts)))
    return before[RUN:] > before[:-RUN]


def _starts_outside(given: np.ndarray) -> np.ndarray:
    """Where a run fits between tokens of the handout."""
    before = np.concatenate(([0], np.cumsum(given)))
    return np.flatnonzero(before[RUN:] == before[:-RUN])
