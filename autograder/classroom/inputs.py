"""Fresh inputs for a class: drawn from a seed that no student knows, with what the oracles answer to them.

They are drawn in a process of their own, ``python -m autograder.classroom.inputs TOML SEED FOLDER``: torch,
transformers and peft together take more memory than all the rest of grading, which then does without them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

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
        command = [sys.executable, "-m", "autograder.classroom.inputs", str(edition.path), str(seed), folder]
        done = subprocess.run(command, cwd=trust.CODE, capture_output=True, text=True)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise UserError(f"the inputs of seed {seed} cannot be drawn: {lines[-1]}")
        paths = {name: Path(folder) / f"{name}.safetensors" for name in edition.components}
        drawn = {name: references.read(edition, name, path) for name, path in paths.items()}
    return drawn.__getitem__


def write(edition: Edition, seed: int, folder: Path) -> None:
    """Write ``NAME.safetensors`` into ``folder`` for each of an edition's components."""
    from autograder.instructor.build_references import draw

    for name in edition.components:
        (folder / f"{name}.safetensors").write_bytes(references.to_bytes([draw(edition, name, seed)]))


if __name__ == "__main__":
    write(editions.read(Path(sys.argv[1])), int(sys.argv[2]), Path(sys.argv[3]))
