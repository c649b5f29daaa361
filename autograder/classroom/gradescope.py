"""``python -m autograder gradescope``: a zip that grades on Gradescope, where nothing of the instructor's is.

The right answers are drawn here, for several secret seeds, as transformers and peft do not fit into the container.
``gradescope_files`` has the zip's scripts; ``gradescope_runner`` says what the zip becomes there.
"""

from __future__ import annotations

import importlib.util
import json
import secrets
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from autograder import editions, trust
from autograder.classroom import grader_hash, inputs
from autograder.classroom.gradescope_runner import REFERENCES, SETTINGS, ZipSettings
from autograder.classroom.marking import LARGEST_SEED
from autograder.editions import Edition
from llamalab import files
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


def run(edition_name: str, zip_path: Path) -> int:
    """Write the zip and say what to do with it.

    Raises:
        UserError: there is no such edition, the zip cannot be written, or the right answers cannot be computed here.
    """
    edition = editions.load(edition_name)
    _check(zip_path)
    with tempfile.TemporaryDirectory(prefix="llamalab-") as folder:
        seeds = secrets.SystemRandom().sample(range(LARGEST_SEED + 1), SETS)
        draw(edition, seeds, Path(folder))
        write(zip_path, edition, seeds, Path(folder))
    points = sum(component.points for component in edition.components.values())
    size = zip_path.stat().st_size / 1e6
    print(NEXT.format(zip=zip_path, name=zip_path.name, size=size, points=points, sets=SETS))
    return 0


def draw(edition: Edition, seeds: Sequence[int], folder: Path) -> None:
    """Write the references of each seed into a folder named by its number, from 0 up, showing progress.

    Raises:
        UserError: they cannot be drawn.
    """
    missing = [package for package in ORACLES if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(
            f"the right answers need {' and '.join(missing)}, not installed here: pip install -r requirements-dev.txt"
        )
    for _ in tqdm(inputs.draw(edition, seeds, folder), "drawing inputs", len(seeds), unit="set"):
        pass


def write(path: Path, edition: Edition, seeds: Sequence[int], drawn: Path) -> None:
    """Write the zip beside its place and move it there.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with files.atomic(path, mode=0o600) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data, mode in entries(edition, seeds, drawn):  # it holds secrets
                info = zipfile.ZipInfo(name, MOMENT)
                info.external_attr = (0o100000 | mode) << 16
                archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; name another place") from error


def entries(edition: Edition, seeds: Sequence[int], drawn: Path) -> Iterator[tuple[str, bytes, int]]:
    """Name, content and mode of each of the zip's files."""
    for name, mode in (("setup.sh", 0o755), ("run_autograder", 0o755), ("not_graded.json", 0o644)):
        yield name, (FILES / name).read_bytes(), mode
    yield "requirements.txt", requirements().encode(), 0o644
    for name, path in project_files(edition).items():
        yield f"project/{name}", path.read_bytes(), 0o644
    yield f"project/{trust.HANDOUT.name}", b"", 0o644  # a course's files are at the top there, as in a handout
    settings = ZipSettings(edition.name, grader_hash.of(edition), secrets.token_hex(16), tuple(seeds))
    yield f"private/{SETTINGS}", json.dumps(vars(settings)).encode(), 0o600
    for path in sorted(drawn.rglob("*.safetensors")):
        yield f"private/{REFERENCES}/{path.relative_to(drawn).as_posix()}", path.read_bytes(), 0o600


def project_files(edition: Edition) -> trust.Files:
    """What of the project grades an edition: what a handout has for that, without the student's part, and this."""
    here = Path(__file__).parent
    grading = {path.relative_to(trust.CODE).as_posix(): path for pattern in GRADING for path in here.glob(pattern)}
    provided = {name: edition.files / name for name in edition.provided_files}
    return dict(sorted({**trust.of_handout(edition), **provided, **grading}.items()))


def requirements() -> str:
    """The project's pinned packages, torch without what only graphics cards need."""
    lines = (trust.PROJECT / "requirements.txt").read_text("utf-8").splitlines()
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
