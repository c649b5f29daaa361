"""``python -m autograder gradescope``: a zip that grades a track on Gradescope, where nothing of the instructor's is.

The right answers are drawn here, for several secret seeds, as transformers and peft do not fit into the container.
``gradescope_files`` has the zip's scripts; ``gradescope_runner`` says what the zip becomes there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from autograder import tracks
from autograder.grading import grader_hash
from autograder.grading.engine import LARGEST_SEED
from autograder.grading.gradescope_runner import REFERENCES, SETTINGS
from autograder.submissions import ROOT
from autograder.tracks import Track
from llamalab.errors import UserError

FILES = Path(__file__).with_name("gradescope_files")
SETS = 8  # of inputs, each from a seed of its own
ORACLES = ("transformers", "peft")
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
GRADING = ("*.py", "*.sql", "reports/*.py")  # of this folder
MOMENT = (1980, 1, 1, 0, 0, 0)  # of every file; when the zip was made is nobody's business

NEXT = """{zip}: {size:.1f} MB, {points:g} points, {sets} sets of inputs. It holds right answers: keep it to the staff.
1. In Gradescope: Create Assignment, Programming Assignment, Autograder Points {points:g}.
2. Configure Autograder: base image Ubuntu 22.04 or newer, select {name}, Update Autograder; building takes minutes.
3. Test Autograder with a right submission and with a wrong one.
The container needs no more than Gradescope gives by default: 0.5 CPU, 0.75 GB of memory, a timeout of 10 minutes.
More CPU is the way to shorter waits; with a longer timeout nothing changes, as grading ends itself after 8 minutes."""


def run(track_name: str, zip_path: Path) -> int:
    """Write the zip and say what to do with it.

    Raises:
        UserError: there is no such track, the zip cannot be written, or the right answers cannot be computed here.
    """
    track = tracks.load(track_name)
    _check(zip_path)
    with tempfile.TemporaryDirectory(prefix="llamalab-") as folder:
        seeds = secrets.SystemRandom().sample(range(LARGEST_SEED + 1), SETS)
        draw(track, seeds, Path(folder))
        write(zip_path, track, seeds, Path(folder))
    points = sum(component.points for component in track.components.values())
    size = zip_path.stat().st_size / 1e6
    print(NEXT.format(zip=zip_path, name=zip_path.name, size=size, points=points, sets=SETS))
    return 0


def draw(track: Track, seeds: Sequence[int], folder: Path) -> None:
    """Write the references of each seed into a folder named by its number, from 0 up, showing progress.

    Raises:
        UserError: they cannot be drawn.
    """
    missing = [package for package in ORACLES if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"the right answers need {' and '.join(missing)}, not installed here: pip install -r requirements-dev.txt"
        )
    command = [sys.executable, "-m", "autograder.grading.gradescope", str(folder), *track.components]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=errors, text=True) as process,
        tqdm(total=len(seeds), desc="drawing inputs", unit="set") as bar,
    ):
        with contextlib.suppress(BrokenPipeError), process.stdin:  # it may have ended already
            process.stdin.write(json.dumps(list(seeds)))  # not on the command line, which every user can see
        for _ in process.stdout:
            bar.update()
        if process.wait() != 0:
            errors.seek(0)
            lines = errors.read().strip().splitlines() or [f"exit status {process.returncode}"]
            raise UserError(f"inputs and right answers cannot be drawn: {lines[-1]}")


def write(path: Path, track: Track, seeds: Sequence[int], drawn: Path) -> None:
    """Write the zip beside its place and move it there.

    Raises:
        UserError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it holds secrets
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data, mode in entries(track, seeds, drawn):
                info = zipfile.ZipInfo(name, MOMENT)
                info.external_attr = (0o100000 | mode) << 16
                archive.writestr(info, data, zipfile.ZIP_DEFLATED)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{path} cannot be written: {error.strerror}; name another place") from error


def entries(track: Track, seeds: Sequence[int], drawn: Path) -> Iterator[tuple[str, bytes, int]]:
    """Name, content and mode of each of the zip's files."""
    for name, mode in (("setup.sh", 0o755), ("run_autograder", 0o755), ("not_graded.json", 0o644)):
        yield name, (FILES / name).read_bytes(), mode
    yield "requirements.txt", requirements().encode(), 0o644
    for name in project_files(track):
        yield f"project/{name}", (ROOT / name).read_bytes(), 0o644
    settings = {
        "track": track.name,
        "grader": grader_hash.of(track),
        "salt": secrets.token_hex(16),
        "seeds": list(seeds),
    }
    yield f"private/{SETTINGS}", json.dumps(settings).encode(), 0o600
    for path in sorted(drawn.rglob("*.safetensors")):
        yield f"private/{REFERENCES}/{path.relative_to(drawn).as_posix()}", path.read_bytes(), 0o600


def project_files(track: Track) -> list[str]:
    """What of the project grades a track: what a handout has for that, without the student's part, and this package."""
    from autograder.instructor import handout_files

    here = Path(__file__).parent
    grading = {path.relative_to(ROOT).as_posix() for pattern in GRADING for path in here.glob(pattern)}
    handed_out = {*handout_files.copied(track)} - {*handout_files.TOP, *track.student_files}
    return sorted({*grading, *handed_out, f"assignments/{track.name}.toml"})


def requirements() -> str:
    """The project's pinned packages, torch without what only graphics cards need."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    pinned = [f"{line}+cpu" if line.startswith("torch==") else line for line in lines]
    return "\n".join([f"--extra-index-url {TORCH_INDEX}", *pinned]) + "\n"


def _check(path: Path) -> None:
    """Find out before the long part that the zip can be written.

    Raises:
        UserError: it cannot.
    """
    if path.suffix != ".zip" or path.is_dir():
        raise UserError(f"{path} is not the name of a zip; name one, such as gradescope.zip")
    if not path.parent.is_dir():
        raise UserError(f"{path} cannot be written: there is no folder {path.parent}")


if __name__ == "__main__":
    from autograder.instructor import build_references

    for index, seed in enumerate(json.load(sys.stdin)):
        (Path(sys.argv[1]) / str(index)).mkdir()
        for component in sys.argv[2:]:
            target = Path(sys.argv[1]) / str(index) / f"{component}.safetensors"
            target.write_bytes(build_references.draw(component, seed).to_bytes())
        print(index, flush=True)
