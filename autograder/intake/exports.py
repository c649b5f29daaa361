"""Which entries of a folder are whose: one's own names, or those that learning platforms give to what they export.

| platform    | an entry's name                                                                             |
|-------------|---------------------------------------------------------------------------------------------|
| Canvas      | ``lovelaceada_LATE_12345_67890_hw-1.zip``: student, user, attachment, file, attempt         |
| Moodle      | ``Ada Lovelace_12345_assignsubmission_file_``, a folder, or with the file's name after it   |
| Gradescope  | ``submission_12345``, a folder; whose it is stands in a YAML file, which is not read        |
| Brightspace | ``12-34 - Ada Lovelace - Jan 31, 2026 1159 PM``, a folder, or with the file's name after it |
| Blackboard  | ``HW1_alovelace_attempt_2026-01-31-23-59-59_hw.zip``                                        |

The platform writes the front of a name and the student the rest, so the leftmost reading is the right one.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from autograder.intake import folders, tars, zips
from autograder.intake.entries import is_clutter
from llamalab import text
from llamalab.errors import UserError

PLATFORMS = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"(?P<student>[^_]+?)(?:_(?:LATE|late))?_(?P<number>[0-9]{1,20})_(?P<order>[0-9]{1,20})_(?P<file>.+)",
        r"(?P<student>.+?)_(?P<number>[0-9]{1,20})_assignsubmission_(?P<kind>file|onlinetext)(?:_(?P<file>.*))?",
        r"(?P<number>[0-9]{1,20}-[0-9]{1,20}) - (?P<student>.+?)"
        r" - (?P<when>[A-Z][a-z]{2} [0-9]{1,2}, [0-9]{4} [0-9]{3,4} [AP]M)(?: - (?P<file>.+))?",
        r".+?_(?P<student>[^_]+)_attempt_(?P<order>[0-9]{4}(?:-[0-9]{2}){5})(?:_(?P<file>.+)|\.txt)",
    )
]
ARCHIVE = re.compile(r"\.(zip|tar|tgz|tbz2?|txz|7z|rar|(tar\.)?(gz|bz2|xz))$", re.IGNORECASE)
ATTEMPT = re.compile(r"-([0-9]{1,4})$")
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")
HASHED = re.compile(r"-[0-9a-f]{8,}$")
MAX_SLUG = 60  # letters of a name; a number or hash may follow


@dataclass(frozen=True)
class Found:
    """One student's submission.

    Args:
        student: the name, safe to show.
        slug: lower-case ASCII letters, digits, ``.``, ``_`` and ``-``; different for every student, and the same
            whoever else handed something in.
        path: the folder or archive.
        older: what else there is from this student, by names safe to show: earlier attempts, files beside the archive.
    """

    student: str
    slug: str
    path: Path
    older: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Entry:
    """A folder's entry, read as a platform's name; ``number`` tells students of one name apart."""

    path: Path
    student: str
    number: str
    file: str
    order: tuple[int, ...]
    opens: bool

    @property
    def attempts(self) -> str:
        """The file's name without the number of the attempt, which is the same in every attempt."""
        return ATTEMPT.sub("", ARCHIVE.sub("", self.file))


def find(folder: Path) -> list[Found]:
    """The submission of each student in a folder, sorted by slug.

    Several entries of one student on a platform are one submission: the latest attempt, archives and folders before
    other files. Archives whose names differ by more than the attempt stay apart, each a student by its whole name, so
    that a name that only looks like a platform's hides nobody's work. Other loose files are skipped.

    Raises:
        UserError: there is no such folder, or it cannot be read.
    """
    try:
        paths = sorted(path for path in Path(folder).iterdir() if not is_clutter((path.name,)))
    except OSError as error:
        raise UserError(f"{text.line(str(folder))}: {error.strerror}; name the folder of the submissions") from error
    groups: dict[tuple[str, str], list[_Entry]] = {}
    plain: list[Path] = []
    for path in paths:
        entry = _platform_entry(path)
        if entry is not None:
            groups.setdefault((entry.student, entry.number), []).append(entry)
        elif _opens(path) or ARCHIVE.search(path.name):
            plain.append(path)
    found = []
    for (student, number), entries in groups.items():
        best = [entry for entry in entries if entry.opens]
        if len({entry.attempts for entry in best}) > 1:
            plain += [entry.path for entry in best]
            continue
        latest = max(best or entries, key=lambda entry: (entry.order, entry.path))
        older = tuple(text.line(entry.path.name) for entry in entries if entry is not latest)
        found.append(Found(text.line(student), slug_of(student, number), latest.path, older))
    return sorted(_distinct(found + _plain(plain)), key=lambda one: one.slug)


def slug_of(name: str, number: str = "") -> str:
    """``Ada Lovelace`` with a number is ``ada-lovelace-12345``; without, a hash tells it from ``ada-lovelace``.

    A name that is a good slug already stays as it is.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9._-]+", "-", plain)[:MAX_SLUG].strip("-._")
    if number:
        return f"{plain or 'student'}-{number}"
    reserved = RESERVED.match(plain)
    if plain and plain == name and not reserved and not HASHED.search(name):
        return name
    return f"{f'student-{plain}' if reserved else plain or 'student'}-{_hash(name)[:8]}"


def _platform_entry(path: Path) -> _Entry | None:
    for pattern in PLATFORMS:
        match = pattern.fullmatch(path.name)
        if match:
            fields = match.groupdict()
            file = fields.get("file") or ""
            opens = _opens(path) and fields.get("kind") != "onlinetext"
            return _Entry(path, fields["student"], fields.get("number") or "", file, _order(fields, file), opens)
    return None


def _order(fields: dict[str, str | None], file: str) -> tuple[int, ...]:
    """What grows from attempt to attempt."""
    attempt = ATTEMPT.search(ARCHIVE.sub("", file))
    when = _minute(fields["when"]) if fields.get("when") else int((fields.get("order") or "0").replace("-", ""))
    return when, int(attempt[1]) if attempt else 0


def _minute(text: str) -> int:
    """``Jan 31, 2026 959 AM`` as a number that grows with time; 0 if there is no such day."""
    date, time, half = text.rsplit(" ", 2)
    try:
        return int(datetime.strptime(f"{date} {time:0>4} {half}", "%b %d, %Y %I%M %p").strftime("%Y%m%d%H%M"))
    except ValueError:
        return 0


def _opens(path: Path) -> bool:
    """Whether a submission can be opened there, or must be refused for what it is; False for a file of another kind."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return True
        with os.fdopen(folders.opened(path), "rb") as file:
            start = file.read(tars.BLOCK)
    except OSError:
        return True  # opening it will say why
    return zips.recognises(start) or tars.recognises(start)


def _plain(paths: list[Path]) -> list[Found]:
    """Entries that are named after their students; ``ada`` and ``ada.zip`` are two."""
    students = [path.name if os.path.isdir(path) else ARCHIVE.sub("", path.name) or path.name for path in paths]
    count = Counter(students)
    names = [path.name if count[student] > 1 else student for path, student in zip(paths, students, strict=True)]
    return [Found(text.line(name), slug_of(name), path) for path, name in zip(paths, names, strict=True)]


def _distinct(found: Iterable[Found]) -> list[Found]:
    """The same with slugs that clash, by bad luck or by design, made longer."""
    found = list(found)
    count = Counter(one.slug for one in found)
    longer = {one: replace(one, slug=f"{one.slug}-{_hash(one.path.name)[:32]}") for one in found}
    return [one if count[one.slug] == 1 else longer[one] for one in found]


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
