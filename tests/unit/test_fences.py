"""Solution fences: well formed, named once, and removable without breaking the module around them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from autograder import editions

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(?P<indent> *)### (?P<edge>BEGIN|END) SOLUTION (?P<region>[a-z][a-z0-9_]*)$")
EDITIONS = [editions.load(name) for name in editions.names()]
WRITTEN = {edition.files / name for edition in EDITIONS for name in (*edition.student_files, *edition.provided_files)}
STUDENT_FILES = [
    path for path in sorted({*ROOT.glob("*.py"), *WRITTEN}) if "### BEGIN SOLUTION" in path.read_text("utf-8")
]


def fences(path: Path) -> list[tuple[str, str, str, int]]:
    """(edge, region, indent, line number) of every fence of a file."""
    found = []
    for number, line in enumerate(path.read_text("utf-8").splitlines()):
        if "### BEGIN" in line or "### END" in line:
            match = FENCE.match(line)
            assert match, f"{path.name}:{number + 1}: a fence that is not one: {line.strip()}"
            found.append((match["edge"], match["region"], match["indent"], number))
    return found


@pytest.mark.parametrize("path", STUDENT_FILES, ids=lambda path: path.name)
def test_every_fence_that_opens_closes_with_the_same_name_and_indent(path):
    edges = fences(path)
    for opening, closing in zip(edges[::2], edges[1::2], strict=True):
        assert (opening[0], closing[0]) == ("BEGIN", "END") and opening[1:3] == closing[1:3], path.name


def test_no_region_is_named_twice():
    regions = [region for path in STUDENT_FILES for edge, region, _, _ in fences(path) if edge == "BEGIN"]
    assert len(regions) == len(set(regions))


@pytest.mark.parametrize("path", STUDENT_FILES, ids=lambda path: path.name)
def test_a_file_without_its_solutions_still_parses(path):
    lines, edges = path.read_text("utf-8").splitlines(), fences(path)
    for (_, region, indent, first), (_, _, _, last) in reversed(list(zip(edges[::2], edges[1::2], strict=True))):
        lines[first : last + 1] = [f'{indent}raise NotImplementedError("{region}")']
    ast.parse("\n".join(lines))
