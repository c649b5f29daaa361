"""Solution fences. Strict: anything that looks like a fence and is none stops with its file and line.

### BEGIN SOLUTION name
...
### BEGIN SCAFFOLD          optional; from here to the end, commented out: what the student gets instead
# ...
### END SOLUTION name
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache

from llamalab.errors import UserError

FENCE = re.compile(r"(?P<indent> *)### (?P<edge>BEGIN|END) SOLUTION (?P<name>[a-z][a-z0-9_]*)\n?")
SCAFFOLD = re.compile(r"(?P<indent> *)### BEGIN SCAFFOLD\n?")
FORMS = "### BEGIN SOLUTION name, ### END SOLUTION name or ### BEGIN SCAFFOLD"
LETTERS = ("BEGINSOLUTION", "ENDSOLUTION", "BEGINSCAFFOLD", "ENDSCAFFOLD")
ALIKE = 0.8  # of the letters: two of them may be missing, added or wrong


@dataclass(frozen=True)
class Region:
    """One fenced solution.

    Args:
        first, last: indices of the fences' own lines, from 0.
        indent: spaces before the fences.
        solution: the lines between them without the scaffold, dedented.
        scaffold: what the student gets instead, dedented and uncommented; empty without one.
    """

    name: str
    file: str
    first: int
    last: int
    indent: int
    solution: str
    scaffold: str = ""

    def placed(self, body: str) -> str:
        """A dedented body as it stands in the file: at the indent of the fences, with a line end."""
        return textwrap.indent(body.rstrip("\n") + "\n", " " * self.indent, lambda line: bool(line.strip()))


@cache  # a bank parses the same files hundreds of times
def looks_like_fence(line: str) -> bool:
    """Whether a line has a comment that is a fence, or was meant to be one.

    >>> looks_like_fence("# begin solutons: rope")
    True
    """
    comments = [re.sub(r"[^A-Z]", "", comment.upper()) for comment in re.findall(r"#+([^#]*)", line)]
    pairs = [(comment[: len(meant)], meant) for comment in comments for meant in LETTERS]
    return any(SequenceMatcher(None, found, meant).ratio() >= ALIKE for found, meant in pairs)


def parse(text: str, file: str) -> list[Region]:
    """The regions of one file, in order.

    Raises:
        UserError: a malformed, unclosed, nested or repeated fence, with its line.
    """
    lines = text.splitlines(keepends=True)
    regions: list[Region] = []
    opened: re.Match | None = None
    first, scaffold_at = 0, None
    for number, line in enumerate(lines):
        if not looks_like_fence(line):
            continue
        where = f"{file}:{number + 1}"
        fence, scaffold = FENCE.fullmatch(line), SCAFFOLD.fullmatch(line)
        if scaffold:
            if opened is None or scaffold_at is not None or scaffold["indent"] != opened["indent"]:
                raise UserError(f"{where}: a scaffold stands once inside a solution, at the indent of its fence")
            scaffold_at = number
        elif fence is None:
            raise UserError(f"{where}: not a fence: {line.strip()!r}; write {FORMS}")
        elif fence["edge"] == "BEGIN":
            if opened is not None:
                raise UserError(f"{where}: {fence['name']} begins inside {opened['name']}; end that first")
            if any(region.name == fence["name"] for region in regions):
                raise UserError(f"{where}: a second region named {fence['name']}; names are used once")
            opened, first, scaffold_at = fence, number, None
        else:
            if opened is None or (fence["name"], fence["indent"]) != (opened["name"], opened["indent"]):
                begun = f"### END SOLUTION {opened['name']} at its indent" if opened else "a BEGIN before it"
                raise UserError(f"{where}: {line.strip()!r} closes nothing; {begun} was expected")
            regions.append(_region(lines, file, opened, first, scaffold_at, number))
            opened = None
    if opened is not None:
        raise UserError(f"{file}:{first + 1}: the region {opened['name']} is never closed")
    return regions


def _region(lines: list[str], file: str, opened: re.Match, first: int, scaffold_at: int | None, last: int) -> Region:
    middle = last if scaffold_at is None else scaffold_at
    solution = textwrap.dedent("".join(lines[first + 1 : middle]))
    commented = textwrap.dedent("".join(lines[middle + 1 : last])) if scaffold_at is not None else ""
    for offset, line in enumerate(commented.splitlines()):
        if line.strip() and not re.match(r"#( |$)", line):
            raise UserError(f"{file}:{middle + 2 + offset}: a scaffold is commented out with '# '")
    scaffold = re.sub(r"^# ?", "", commented, flags=re.MULTILINE)
    return Region(opened["name"], file, first, last, len(opened["indent"]), solution, scaffold)


def parse_all(sources: Mapping[str, str]) -> dict[str, Region]:
    """The regions of several files (name to text), by name.

    Raises:
        UserError: as ``parse``, or a name in two files.
    """
    regions: dict[str, Region] = {}
    for file, text in sources.items():
        for region in parse(text, file):
            if region.name in regions:
                other = regions[region.name]
                raise UserError(
                    f"{file}:{region.first + 1}: {region.name} is also a region of {other.file}:{other.first + 1}"
                )
            regions[region.name] = region
    return regions


def replace(text: str, replacements: Iterable[tuple[Region, str]], keep_fences: bool = True) -> str:
    """A file's text with other bodies in some of its regions.

    Args:
        replacements: regions of this text and their new bodies, dedented.
        keep_fences: False takes the fences away as well.
    """
    lines = text.splitlines(keepends=True)
    for region, body in sorted(replacements, key=lambda pair: pair[0].first, reverse=True):
        start, stop = (region.first + 1, region.last) if keep_fences else (region.first, region.last + 1)
        lines[start:stop] = [region.placed(body)]
    return "".join(lines)
