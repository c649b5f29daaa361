"""Fresh inputs for a class: drawn from a seed that no student knows, with what the oracles answer to them.

They are drawn in a process of their own, ``python -m autograder.classroom.inputs TOML FOLDER``: torch, transformers
and peft together take more memory than all the rest of grading, which then does without them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from autograder import editions, trust
from autograder.editions import Edition
from autograder.engine import references
from autograder.engine.references import References
from llamalab.errors import UserError


def fresh(edition: Edition, seed: int) -> Callable[[str], References]:
    """The references of each of an edition's components, by name, with inputs from ``seed``.

    Raises:
        UserError: they cannot be drawn, for instance because transformers is not installed.
    """
    with TemporaryDirectory(prefix="llamalab-") as folder:
        list(draw(edition, [seed], Path(folder)))
        drawn = read(edition, Path(folder) / "0")
        for name in edition.components:  # while the folder is there
            drawn(name)
        return drawn


def read(edition: Edition, folder: Path) -> Callable[[str], References]:
    """The same from a folder that ``draw`` has written for a seed; each is read when it is first asked for."""
    return functools.cache(lambda name: references.read(edition, name, _file(folder, name)))


def draw(edition: Edition, seeds: Sequence[int], folder: Path) -> Iterator[str]:
    """Write the references of each seed into a folder named by its number, from 0 up; yields after each.

    Raises:
        UserError: they cannot be drawn.
    """
    command = [sys.executable, "-m", "autograder.classroom.inputs", str(edition.path), str(folder)]
    pipe = subprocess.PIPE
    with (
        TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(command, cwd=trust.CODE, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
    ):
        with contextlib.suppress(BrokenPipeError), process.stdin:  # it may have ended already
            process.stdin.write(json.dumps(list(seeds)))  # not on the command line, which every user can see
        yield from process.stdout
        if process.wait() != 0:
            errors.seek(0)
            lines = errors.read().strip().splitlines() or [f"exit status {process.returncode}"]
            raise UserError(f"inputs and right answers cannot be drawn: {lines[-1]}")


def _file(folder: Path, component: str) -> Path:
    return folder / f"{component}.safetensors"


def _main(toml: str, folder: str) -> None:
    from autograder.instructor.build_references import draw as drawn

    edition = editions.read(Path(toml))
    for number, seed in enumerate(json.load(sys.stdin)):
        for name in edition.components:
            path = _file(Path(folder) / str(number), name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(references.to_bytes([drawn(edition, name, seed)]))
        print(number, flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
