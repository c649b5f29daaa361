"""Text of a submission, made harmless to show: nothing invisible, nothing that reorders, nothing endless."""

from __future__ import annotations

import re

LINES, WIDTH, LONGEST = 60, 300, 20_000
NAME = 120
REPLACEMENT = "\ufffd"

# Control characters, halves of surrogate pairs, noncharacters, tags, and what is invisible or changes the direction of
# text; among them is all that XML 1.0 cannot hold. The joiners U+200C and U+200D stay: names and emoji need them, and
# they move nothing.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_LINE_ENDS = re.compile("\r\n?|\x85|\u2028|\u2029")
_ACCENT = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
_PILES = re.compile(f"({_ACCENT}{{3}}){_ACCENT}+")


def plain(text: str) -> str:
    """The text with a replacement character for everything that cannot be shown safely."""
    return _PILES.sub(r"\1", _UNSHOWABLE.sub(REPLACEMENT, _LINE_ENDS.sub("\n", text)))


def name(text: str, longest: int = NAME) -> str:
    """One short line: a student, a file, a sentence."""
    line = " ".join(plain(text[: 4 * longest]).split())
    return line if len(line) <= longest and len(text) <= 4 * longest else f"{line[: longest - 1]}…"


def excerpt(text: str, lines: int = LINES, width: int = WIDTH, longest: int = LONGEST) -> str:
    """The beginning of a long text, with what was left out said in its place."""
    if not text:
        return ""
    kept = plain(text[:longest]).rstrip().expandtabs(4).split("\n")
    shown = [line if len(line) <= width else f"{line[:width]}… ({len(line) - width} more characters)" for line in kept]
    if len(text) > longest:
        shown = [*shown[:lines], f"… ({len(text) - longest} more characters)"]
    elif len(shown) > lines:
        shown = [*shown[:lines], f"… ({len(shown) - lines} more lines)"]
    return "\n".join(shown)


def percent(part: float, whole: float) -> str:
    """A share without decimals, cut rather than rounded; a dash where there is nothing to share."""
    return f"{int(100 * part / whole + 1e-9)}%" if whole else "–"


def count(number: int, thing: str, things: str = "") -> str:
    """``1 student``, ``2 students``."""
    return f"{number} {thing if number == 1 else things or thing + 's'}"
