"""Fresh inputs for a class: drawn from a seed that no student knows, with what the oracles answer to them.

They are drawn in a process of their own, ``python -m autograder.grading.inputs TRACK SEED FOLDER``: torch, transformers
and peft together take more memory than all the rest of grading, which then does without them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from autograder import references, tracks
from autograder.references import References
from autograder.submissions import ROOT
from autograder.tracks import Track
from llamalab.errors import UserError


def fresh(track: Track, seed: int) -> Callable[[str], References]:
    """The references of each of a track's components, by name, with inputs from ``seed``.

    Raises:
        UserError: they cannot be drawn, for instance because transformers is not installed.
    """
    with TemporaryDirectory(prefix="llamalab-") as folder:
        command = [sys.executable, "-m", "autograder.grading.inputs", track.name, str(seed), folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise UserError(f"the inputs of seed {seed} cannot be drawn: {lines[-1]}")
        drawn = {name: references.read(name, Path(folder) / f"{name}.safetensors") for name in track.components}
    return drawn.__getitem__


def write(track: Track, seed: int, folder: Path) -> None:
    """Write ``NAME.safetensors`` into ``folder`` for each of a track's components."""
    from autograder.instructor.build_references import draw

    for name in track.components:
        (folder / f"{name}.safetensors").write_bytes(draw(name, seed).to_bytes())


if __name__ == "__main__":
    write(tracks.load(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
