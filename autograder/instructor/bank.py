"""Banks: named submissions that differ from the solved tree in one place, some wrong, some right but unusual."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from autograder.instructor import regions
from autograder.submissions import ROOT, Submission
from autograder.tracks import Track
from llamalab.errors import UserError


@dataclass(frozen=True)
class Body:
    """Another body for a solution region, written without indent."""

    region: str
    text: str

    def apply(self, sources: Mapping[str, str]) -> dict[str, str]:
        region = _region(sources, self.region)
        text = regions.replace(sources[region.file], [(region, self.text.strip("\n"))])
        return {**sources, region.file: text}


@dataclass(frozen=True)
class Edit:
    """One replacement inside a solution region. ``old`` occurs there exactly once."""

    region: str
    old: str
    new: str

    def apply(self, sources: Mapping[str, str]) -> dict[str, str]:
        region = _region(sources, self.region)
        body = _replace_once(region.solution, self.old, self.new, f"the region {self.region}")
        return {**sources, region.file: regions.replace(sources[region.file], [(region, body)])}


@dataclass(frozen=True)
class FileEdit:
    """One replacement anywhere in a student's file, for code outside the fences. ``old`` occurs there exactly once."""

    file: str
    old: str
    new: str

    def apply(self, sources: Mapping[str, str]) -> dict[str, str]:
        return {**sources, self.file: _replace_once(sources[self.file], self.old, self.new, self.file)}


@dataclass(frozen=True)
class File:
    """A whole file, for solutions that are built differently."""

    file: str
    text: str

    def apply(self, sources: Mapping[str, str]) -> dict[str, str]:
        return {**sources, self.file: self.text.lstrip("\n")}


Change = Body | Edit | FileEdit | File


@dataclass(frozen=True)
class Alternative:
    """A right solution that must get full marks."""

    name: str
    changes: Sequence[Change]


@dataclass(frozen=True)
class Misconception:
    """A wrong solution that must lose marks, and be recognised.

    Args:
        name: an identifier.
        says: what the code does, to follow "matches:", without a full stop.
        advice: one sentence on what to check, with a source.
        also: other components that lose marks because they run the same lines.
        region: a solution region without which a track's component does not ask for this; empty for any track.
    """

    name: str
    says: str
    advice: str
    changes: Sequence[Change]
    also: tuple[str, ...] = ()
    region: str = ""


Entry = Alternative | Misconception


def misconceptions(component: str) -> list[Misconception]:
    """The component's bank of wrong solutions."""
    return _bank("misconceptions", component)


def alternatives(component: str) -> list[Alternative]:
    """The component's bank of unusual right solutions."""
    return _bank("alternatives", component)


def changed_modules(entry: Entry) -> set[str]:
    """The student modules that an entry changes."""
    before = sources()
    after = apply(entry, before)
    return {Path(file).stem for file in after if after[file] != before[file]}


def hash_of(entry: Entry) -> str:
    """A short hash of an entry's changes, the same on every machine."""
    return hashlib.sha256(repr(list(entry.changes)).encode("utf-8")).hexdigest()[:16]


def sources() -> dict[str, str]:
    """The solved tree's student files, by name."""
    return {
        path.name: text
        for path in sorted(ROOT.glob("*.py"))
        if "### BEGIN SOLUTION" in (text := path.read_text("utf-8"))
    }


def apply(entry: Entry, files: Mapping[str, str]) -> dict[str, str]:
    """The files with an entry's changes.

    Raises:
        UserError: a change that does not fit, or changes nothing.
    """
    changed = dict(files)
    for change in entry.changes:
        try:
            changed = change.apply(changed)
        except UserError as error:
            raise UserError(f"{entry.name}: {error}") from error
    if changed == dict(files):
        raise UserError(f"{entry.name}: changes nothing")
    return changed


@contextmanager
def written(entry: Entry, track: Track) -> Iterator[Submission]:
    """An entry as a submission, in a folder that exists while the context does."""
    with TemporaryDirectory(prefix="llamalab-bank-") as folder:
        for file, text in apply(entry, sources()).items():
            (Path(folder) / file).write_text(text, encoding="utf-8")
        yield Submission.of(track, Path(folder))


def _bank(kind: str, component: str) -> list:
    bank = importlib.import_module(f"autograder.instructor.{kind}.{component}").BANK
    names = [entry.name for entry in bank]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{kind}/{component}.py has two entries named {name}")
    return bank


def _region(sources: Mapping[str, str], name: str) -> regions.Region:
    found = regions.parse_all(sources)
    if name not in found:
        raise UserError(f"there is no region {name!r}; there are {', '.join(found)}")
    return found[name]


def _replace_once(text: str, old: str, new: str, where: str) -> str:
    if text.count(old) != 1:
        raise UserError(f"{old!r} occurs {text.count(old)} times in {where}; it must be there once")
    return text.replace(old, new)
