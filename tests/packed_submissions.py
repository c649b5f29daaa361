"""A complete submission as a folder or a zip, and the command that packs and checks it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from llamalab import submission

REQUIRED = [name for names in submission.required_files().values() for name in names]
COUNT = len(REQUIRED)
TOP = "TURING_LOVELACE"


def content(name: str) -> bytes:
    """The least that counts as the content of a file of the list."""
    if name.endswith(".py"):
        return b'"""A module."""\n\nx = 1\n'
    if name.endswith("-output.txt"):
        return b"3 ||| A fine film .\n0 ||| \n"
    return f"what {name} holds\n".encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete submission."""
    folder = tmp_path / TOP
    folder.mkdir()
    for name in REQUIRED:
        (folder / name).write_bytes(content(name))
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command in tmp_path: its exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        try:
            status = submission.main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
        out, err = capsys.readouterr()
        return status, out, err

    return command


def write_zip(path: Path, entries: dict | None = None, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A complete submission, followed by the entries given."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in REQUIRED:
            archive.writestr(f"{TOP}/{name}", content(name))
        for name, data in (entries or {}).items():
            archive.writestr(name, data, method)
    return path
