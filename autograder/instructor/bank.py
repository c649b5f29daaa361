"""Banks: named submissions that differ from the solved tree in one place, some wrong, some right but unusual.

A bank is a list of ``Mistake`` or of ``Alternative``. ``wrong`` and ``right`` make one from a table by name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autograder.editions import Edition, Options
from autograder.engine.graders import asks
from autograder.instructor import regions, solved
from autograder.intake.submission import Submission, module_of
from autograder.worker import components
from llamalab.errors import UserError

Told = tuple[str, str, Sequence["Change"]]  # a mistake without its name: what it says, its advice, its changes


class Change:
    """One change to the solved tree."""

    def apply(self, sources: Mapping[str, str]) -> dict[str, str]:
        """The files with it, by name."""
        raise NotImplementedError

    def then(self, *others: Change) -> Changes:
        """It and others after it, as one mistake: ``first.then(second).matches(...)``."""
        return Changes((self, *others))

    def matches(self, says: str, advice: str) -> Told:
        """It as a mistake in a table of ``wrong``."""
        return says, advice, (self,)


class Changes(tuple[Change, ...]):
    """Several changes, in their order."""

    def matches(self, says: str, advice: str) -> Told:
        """They as a mistake in a table of ``wrong``."""
        return says, advice, self


@dataclass(frozen=True)
class Body(Change):
    """Another body for a solution region, written without indent."""

    region: str
    text: str

    def apply(self, sources: Mapping[str, str]) -> dict[str, str]:
        region = _region(sources, self.region)
        text = regions.replace(sources[region.file], [(region, self.text.strip("\n"))])
        return {**sources, region.file: text}


@dataclass(frozen=True)
class Edit(Change):
    """One replacement inside a solution region. ``old`` occurs there exactly once."""

    region: str
    old: str
    new: str

    def apply(self, sources: Mapping[str, str]) -> dict[str, str]:
        region = _region(sources, self.region)
        body = _replace_once(region.solution, self.old, self.new, f"the region {self.region}")
        return {**sources, region.file: regions.replace(sources[region.file], [(region, body)])}


@dataclass(frozen=True)
class FileEdit(Change):
    """One replacement anywhere in a student's file, for code outside the fences. ``old`` occurs there exactly once."""

    file: str
    old: str
    new: str

    def apply(self, sources: Mapping[str, str]) -> dict[str, str]:
        return {**sources, self.file: _replace_once(sources[self.file], self.old, self.new, self.file)}


@dataclass(frozen=True)
class File(Change):
    """A whole file, for solutions that are built differently."""

    file: str
    text: str

    def apply(self, sources: Mapping[str, str]) -> dict[str, str]:
        return {**sources, self.file: self.text.lstrip("\n")}


@dataclass(frozen=True)
class Alternative:
    """A right solution that must get full marks."""

    name: str
    changes: Sequence[Change]


@dataclass(frozen=True)
class Mistake:
    """A wrong solution that must lose marks, and be recognised.

    Args:
        name: an identifier.
        says: what the code does, to follow "matches:", without a full stop.
        advice: one sentence on what to check, with a source.
        also: other components that lose marks because they run the same lines.
        only: options that an edition's component must have to ask for this; empty for any.
    """

    name: str
    says: str
    advice: str
    changes: Sequence[Change]
    also: tuple[str, ...] = ()
    only: Mapping[str, Any] = field(default_factory=dict)


Entry = Alternative | Mistake


def wrong(*, also: tuple[str, ...] = (), only: Mapping[str, Any] | None = None, **told: Told) -> list[Mistake]:
    """A bank of mistakes by name: ``wrong(no_eps=Edit("rmsnorm", " + self.eps", "").matches("no eps", "Add eps"))``.

    Args:
        also, only: of every one of them.
    """
    return [Mistake(name, *each, also, only or {}) for name, each in told.items()]


def right(region: str = "", /, **solutions: Change | str | Sequence[Change | str]) -> list[Alternative]:
    """A bank of right solutions by name. A text is another body for ``region``."""
    listed = {name: [each] if isinstance(each, Change | str) else each for name, each in solutions.items()}
    return [
        Alternative(name, [Body(region, each) if isinstance(each, str) else each for each in changes])
        for name, changes in listed.items()
    ]


def mistakes(edition: Edition, component: str) -> list[Mistake]:
    """The component's bank of wrong solutions."""
    return _bank(edition, component, "mistakes")


def asked(edition: Edition, component: str, options: Options) -> list[Mistake]:
    """Those of its wrong solutions that a component with these options asks about."""
    return [entry for entry in mistakes(edition, component) if asks(entry.only, options)]


def alternatives(edition: Edition, component: str) -> list[Alternative]:
    """The component's bank of unusual right solutions."""
    return _bank(edition, component, "alternatives")


def changed_modules(entry: Entry, edition: Edition) -> set[str]:
    """The student modules that an entry changes."""
    before = solved.sources(edition)
    after = apply(entry, before)
    return {module_of(file) for file in after if after[file] != before[file]}


def hash_of(entry: Entry) -> str:
    """A short hash of an entry's changes, the same on every machine."""
    return hashlib.sha256(repr(list(entry.changes)).encode("utf-8")).hexdigest()[:16]


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


def submission(entry: Entry, edition: Edition) -> Submission:
    """An entry as somebody's submission."""
    files = apply(entry, solved.sources(edition))
    return Submission(edition, {name: files[name].encode("utf-8") for name in files if name in edition.student_files})


def _bank(edition: Edition, component: str, part: str) -> list:
    bank = components.load(edition.component_folder, component, part).BANK
    names = [entry.name for entry in bank]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{component}/{part}.py has two entries named {name}")
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
