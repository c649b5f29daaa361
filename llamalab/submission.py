"""python -m llamalab.submission: pack a course submission into one zip, and check one that somebody made.

What belongs into a submission is read from checklist.md. Whatever is checked may be hostile: nothing of it is executed,
imported or extracted to disk, and names and sizes are judged before a byte of content is read.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import re
import stat
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llamalab import command, places, text
from llamalab.errors import Misuse, UserError
from llamalab.files import write_bytes
from llamalab.submission_files import (
    MAX_ZIP,
    NAME,
    NAME_RULE,
    UNREADABLE,
    Entry,
    largest,
    open_submission,
    open_zip,
    refuse_large,
)

CHECKLIST = places.path("checklist.md")
MAX_PYTHON = 500_000  # bytes; a syntax tree may take 900 times the memory of its source
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can state; a fixed one makes equal folders equal zips

ITEM = re.compile(r"^- \[[ xX]\] (.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
FILE_NAME = re.compile(r"`([A-Za-z0-9_][A-Za-z0-9_.-]*)`")
PREDICTION = re.compile(r"[0-9]+ \|\|\|( [^\ud800-\udfff]*)?\r?")  # what is not UTF-8 is decoded to surrogates
RUN_OUTPUT = re.compile(r"(?:sst|cfimdb)-(?:dev|test)-(prompting|finetuning|lora)-output\.txt|(generated-sentence)-.*")
OPTIONS = {"prompting": "prompt", "finetuning": "finetune", "lora": "lora", "generated-sentence": "generate"}

EXAMPLES = """\
examples:
  python -m llamalab.submission make TURING_LOVELACE               writes TURING_LOVELACE.zip from the files here
  python -m llamalab.submission make TURING_LOVELACE --partial     with whatever is there so far
  python -m llamalab.submission check TURING_LOVELACE.zip          is it complete, and in the right form?
  python -m llamalab.submission check TURING_LOVELACE | grep -v ^ok

exit status: 0 complete; 1 something is missing or wrong; 2 the request makes no sense; 130 interrupted.
"""


@dataclass(frozen=True)
class FileState:
    """What is to be said of one file of the list; ``state`` is ok, missing, empty or wrong."""

    name: str
    state: str
    size: int | None = None
    note: str = ""


def required_files(checklist: Path = CHECKLIST) -> dict[str, list[str]]:
    """The files of a submission by section: the backticked names of each list item, up to its first colon.

    ``- [ ] `a.py` and `b.py`: run `a.py` first`` under ``## Code`` gives ``{"Code": ["a.py", "b.py"]}``.

    Raises:
        UserError: the page cannot be read, or an item names no file.
    """
    try:
        page = checklist.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{checklist} lists what a submission contains and cannot be read: {error}") from error
    sections: dict[str, list[str]] = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title = section.split("\n", 1)[0].strip()
        for item in ITEM.findall(section):
            names = FILE_NAME.findall(item.split(":", 1)[0])
            if not names:
                raise UserError(f"{checklist}: the item {item!r} names no file in backticks")
            sections.setdefault(title, []).extend(names)
    if not sections:
        raise UserError(f"{checklist} has no `- [ ]` items under a `##` heading")
    return sections


def written_by(name: str) -> str:
    """The command that writes an output file; empty for a file somebody writes by hand."""
    output = RUN_OUTPUT.fullmatch(name)
    return f"python run_llama.py --option {OPTIONS[output[1] or output[2]]}" if output else ""


def examine(entries: dict[str, Entry], names: Iterable[str]) -> list[FileState]:
    """Judge each file of the list, by its content; reads the entries, executes nothing."""
    return [_judge(name, entries.get(name)) for name in names]


def _judge(name: str, entry: Entry | None) -> FileState:
    remedy = f"written by: {written_by(name)}" if written_by(name) else ""
    if entry is None:
        return FileState(name, "missing", note=remedy)
    try:
        content = entry.read()
    except UNREADABLE as error:
        return FileState(name, "wrong", entry.size, f"cannot be read: {text.line(str(error))}")
    if not content.strip():
        return FileState(name, "empty", entry.size, remedy)
    problem = None
    if name.endswith(".py"):
        problem = _python_problem(name, content)
    elif name.endswith("-output.txt"):
        problem = _prediction_problem(name, content)
    return FileState(name, "wrong" if problem else "ok", entry.size, problem or "")


def _python_problem(name: str, source: bytes) -> str | None:
    """Why a source file is no Python, or None; it is parsed and never compiled or run."""
    if len(source) > MAX_PYTHON:
        return f"{len(source)} bytes of Python; at most {MAX_PYTHON} are read"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source, name)
    except SyntaxError as error:
        return f"{name}, line {error.lineno or 1}: {text.line(error.msg)}"
    except (ValueError, LookupError, RecursionError, MemoryError) as error:
        return f"{name} does not parse: {text.line(str(error)) or 'it is nested too deeply'}"
    return None


def _prediction_problem(name: str, content: bytes) -> str | None:
    """The first line that is not ``label ||| sentence``, or None."""
    rows = content.decode("utf-8", errors="surrogateescape").removesuffix("\n").split("\n")
    for number, row in enumerate(rows, start=1):
        if not PREDICTION.fullmatch(row):
            wanted = "`label ||| sentence` in UTF-8 with a number as label"
            return f"{name}, line {number} is not {wanted}: {text.line(row[:40])!r}"
    return None


def collect(folder: Path, names: Iterable[str]) -> dict[str, Entry]:
    """Those of the named files that are in a folder; a link counts if it leads to a file in the same folder.

    Raises:
        Misuse: there is no such folder.
        UserError: a name is a folder, or a link that leads nowhere or elsewhere; or the files are far too large.
    """
    shown, root, entries = text.line(str(folder)), folder.resolve(), {}
    if not folder.is_dir():
        raise Misuse(f"--folder {shown}: no such folder")
    for name in names:
        path = Path(os.path.realpath(root / name))
        if path.is_file() and path.is_relative_to(root):
            entries[name] = Entry(path.stat().st_size, path.read_bytes)
        elif os.path.lexists(root / name):
            raise UserError(f"{shown}: {name} is not a regular file of that folder; put the file itself there")
    refuse_large(shown, entries)
    return entries


def zipped(top: str, files: Iterable[tuple[str, bytes]]) -> bytes:
    """A zip of files, by name and content, in one top folder; the same files always give the same bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files:
            info = zipfile.ZipInfo(f"{top}/{name}", EPOCH)
            info.create_system = 3  # Unix, whatever system this runs on
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    return target.getvalue()


def pack(name: str, entries: dict[str, Entry]) -> bytes:
    """A zip of the files in one top folder; the same files always give the same bytes.

    Raises:
        UserError: the zip would be too large, or something about it would be refused by ``open_submission``.
        OSError: a file cannot be read.
    """
    content = zipped(name, ((inner, entries[inner].read()) for inner in sorted(entries)))
    if len(content) >= MAX_ZIP:
        infos = zipfile.ZipFile(io.BytesIO(content)).infolist()
        packed = {info.filename.partition("/")[2]: info.compress_size for info in infos}
        raise UserError(
            f"{name}.zip would have {len(content)} bytes; a submission has less than {MAX_ZIP}. "
            f"The largest, packed: {largest(packed)}"
        )
    open_zip(content, f"{name}.zip")
    return content


def _make(options: argparse.Namespace) -> int:
    if not NAME.fullmatch(options.name):
        raise Misuse(f"NAME {text.line(options.name)!r} is not like {NAME_RULE}")
    if not options.out.is_dir():
        raise Misuse(f"--out {text.line(str(options.out))}: no such folder")
    sections = required_files()
    names = [name for group in sections.values() for name in group]
    entries = collect(options.folder, names)
    findings = examine(entries, names)
    wanting = [finding for finding in findings if finding.state != "ok"]
    if wanting and not options.partial:
        _table(wanting)
        raise UserError(f"{_summary(findings)}; nothing was written (--partial packs what is there)")
    there = {finding.name: entries[finding.name] for finding in findings if finding.state in ("ok", "wrong")}
    if not there:
        raise UserError(f"{text.line(str(options.folder))} has none of the files of {CHECKLIST.name}")
    content = pack(options.name, there)
    target = options.out / f"{options.name}.zip"
    write_bytes(target, content)
    _report(sections, findings)
    size = f"{len(there)} files, {sum(entry.size for entry in there.values())} bytes, packed {len(content)}"
    print(f"\n{text.line(str(target))}: {size}; {_summary(findings)}")
    return 0


def _check(options: argparse.Namespace) -> int:
    path = options.path
    if not path.exists() and (zipped := path.with_name(f"{path.name}.zip")).exists():
        path = zipped
    entries = open_submission(path)
    sections = required_files()
    findings = examine(entries, [name for group in sections.values() for name in group])
    _report(sections, findings)
    extras = sorted(entries.keys() - {finding.name for finding in findings})
    if extras:
        print("\nWarnings")
        _table([FileState(name, "extra", entries[name].size, "not part of a submission") for name in extras])
    print(f"\n{text.line(str(path))}: {_summary(findings)}")
    return 0 if all(finding.state == "ok" for finding in findings) else 1


def _report(sections: dict[str, list[str]], findings: list[FileState]) -> None:
    for index, (title, names) in enumerate(sections.items()):
        print(f"\n{title}" if index else title)
        _table([finding for finding in findings if finding.name in names])


def _table(findings: list[FileState]) -> None:
    """One line a file: state, bytes, name, remark."""
    width = max(len(text.line(finding.name)) for finding in findings)
    for finding in findings:
        size = "-" if finding.size is None else finding.size
        note = finding.note if finding.name.isascii() else f"{finding.note}, written {ascii(finding.name)}"
        print(f"{finding.state:<8}{size:>9}  {text.line(finding.name):<{width}}  {note}".rstrip())


def _summary(findings: list[FileState]) -> str:
    """``complete, all 31 files``, or ``not complete: 2 missing, 1 empty of 31 files``."""
    states = [finding.state for finding in findings]
    counts = [f"{states.count(state)} {state}" for state in ("missing", "empty", "wrong") if state in states]
    return (
        f"not complete: {', '.join(counts)} of {len(states)} files" if counts else f"complete, all {len(states)} files"
    )


def main(argv: Sequence[str] | None = None, prog: str = "python -m llamalab.submission") -> int:
    """Run one command; returns its exit status."""
    return command.run(_parser(prog), argv, failed=1)


def _parser(prog: str) -> argparse.ArgumentParser:
    about = "Pack a course submission, and check one: the files that checklist.md lists, in one zip."
    parser = command.parser(prog, about, EXAMPLES)
    add = command.sub_commands(parser)
    make = add("make", _make, "Write NAME.zip with one top folder NAME.")
    make.add_argument("name", metavar="NAME", help="SURNAME1_SURNAME2: letters, digits, _ and -")
    make.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help="where the files are (default: here)")
    make.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where NAME.zip goes (default: here)")
    make.add_argument("--partial", action="store_true", help="pack what is there, even if files are missing or wrong")
    about = "Say what is missing or wrong in a zip or folder; nothing in it is executed or unpacked to disk."
    check = add("check", _check, about)
    check.add_argument("path", type=Path, metavar="FILE_OR_FOLDER", help="NAME.zip, or NAME for short, or a folder")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
