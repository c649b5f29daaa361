"""Text from strangers, made safe to show: nothing invisible, nothing that moves or reorders, nothing endless.

One policy for terminals, pages and reports. What cannot be shown becomes U+FFFD, so that one sees that something was
there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

LINE = 120  # characters of a name or a sentence
LINES, WIDTH, LONGEST = 60, 300, 20_000
REPLACEMENT = "\ufffd"

# Control characters, halves of surrogate pairs, noncharacters, tags, and what is invisible or changes the direction of
# text; among them is all that XML 1.0 cannot hold. The joiners U+200C and U+200D stay: names and emoji need them, and
# they move nothing.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_LINE_ENDS = re.compile("\r\n?|\x85|\u2028|\u2029")
_ACCENT = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
_PILES = re.compile(f"({_ACCENT}{{3}}){_ACCENT}+")


def plain(text: str | bytes) -> str:
    """The whole text, its line ends ``\\n``, with a replacement character for each that cannot be shown safely.

    >>> plain("\\x1b[2Jred\\r\\n")
    '\ufffd[2Jred\\n'
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    return _PILES.sub(r"\1", _UNSHOWABLE.sub(REPLACEMENT, _LINE_ENDS.sub("\n", text)))


def line(text: str | bytes, longest: int = LINE) -> str:
    """One short line: a student, a file, a sentence. Spaces and line ends in a row become one space.

    >>> line("  Ada\\n\\tLovelace ")
    'Ada Lovelace'
    """
    shown = " ".join(plain(text[: 4 * longest]).split())
    return shown if len(shown) <= longest and len(text) <= 4 * longest else f"{shown[: longest - 1]}…"


def lines(text: str | bytes, most: int = LINES, width: int = WIDTH, longest: int = LONGEST) -> str:
    """The beginning of a long text, with what was left out said in its place.

    >>> lines("1\\n2\\n3\\n4", most=2)
    '1\\n2\\n… (2 more lines)'

    Args:
        most: lines that are kept.
        width: characters of a line that are kept.
        longest: characters, or bytes, of the text that are looked at.
    """
    if not text:
        return ""
    kept = plain(text[:longest]).rstrip().expandtabs(4).split("\n")
    shown = [row if len(row) <= width else f"{row[:width]}… ({len(row) - width} more characters)" for row in kept]
    if len(text) > longest:
        return "\n".join([*shown[:most], f"… ({len(text) - longest} more characters)"])
    if len(shown) > most:
        return "\n".join([*shown[:most], f"… ({len(shown) - most} more lines)"])
    return "\n".join(shown)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Mapping[str, str] | None = None) -> str:
    """Aligned text under the columns' names, as wide as it needs to be; rich decides how wide a character is.

    Args:
        styles: rich's style of a cell by its text. A table with styles is one of words, ruled, coloured and with its
            last column wrapped on a terminal; without, one of figures, all but the first column to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    words = styles is not None
    fancy = words and sys.stdout.isatty()
    screen = {"color_system": "auto"} if fancy else {"color_system": None, "width": 100_000, "force_terminal": False}
    console = Console(highlight=False, force_jupyter=False, **screen)
    drawn = Table(box=box.SIMPLE_HEAD if fancy else None, pad_edge=False)
    for number, name in enumerate(columns, start=1):
        right = number > 1 and not words
        wraps = fancy and number == len(columns)
        drawn.add_column(Text(name), no_wrap=not wraps, overflow="fold", justify="right" if right else "left")
    for row in rows:
        drawn.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in row))
    with console.capture() as output:
        console.print(drawn)
    return "\n".join(line.rstrip() for line in output.get().splitlines())
