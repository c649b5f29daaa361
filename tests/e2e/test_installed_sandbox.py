"""However the project is installed, a submission that searches every file it can read finds no solution."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.environments import environment, install

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap"),
]

# Grades a folder with an isolation and prints what its student reads. Searching takes longer than grading.
GRADE = """
import sys
from pathlib import Path
from autograder import editions
from autograder.classroom import isolation
from autograder.engine import graders
from autograder.engine.session import Limits
from autograder.intake.submission import Submission

edition = editions.load("mmia")
tests = graders.collect(edition, edition.chosen(["rope"]))
with isolation.session(sys.argv[1], edition, tests, Limits(seconds=400, timeouts=9)) as session:
    print(graders.grade(edition, tests, Submission.of(edition, Path(sys.argv[2])), session).to_json())
"""

SEARCH = """
import base64, json, os
LINES = [line.encode() for line in json.loads(base64.b64decode({lines!r}))]
NAMES = ("mistakes.py", "references.safetensors")
found, read = [], 0
for top, folders, files in os.walk({top!r}):
    folders[:] = [name for name in folders if os.path.join(top, name) not in {skipped!r}]
    for name in files:
        path = os.path.join(top, name)
        try:
            if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > 100_000:
                continue
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            continue
        read += 1
        if name in NAMES or any(line in data for line in LINES):
            found.append(path)
raise RuntimeError(f"READ {{read}} FOUND {{len(found)}} {{sorted(found)[:3]}}")
"""


def telling_lines() -> list[str]:
    """The longest lines of the solutions: docstrings stand outside."""
    lines = []
    for path in sorted(ROOT.glob("*.py")):
        for region in re.findall(r"### BEGIN SOLUTION.*?\n(.*?)### END SOLUTION", path.read_text("utf-8"), re.DOTALL):
            lines.append(max((line.strip() for line in region.splitlines()), key=len))
    assert len(lines) >= 10
    return sorted(lines, key=len)[-4:]  # searching for more takes minutes


@pytest.fixture(scope="module", params=["wheel", "editable"])
def python(request, tmp_path_factory) -> Path:
    python = environment(tmp_path_factory.mktemp(request.param))
    install(python, ROOT, *(["--editable"] if request.param == "editable" else []))
    return python


def searched(python: Path, folder: Path, kind: str, top: str, skipped: tuple[str, ...] = ()) -> tuple[int, int, str]:
    """How many files a submission read below a folder, in how many it found a solution, and what it says of them."""
    lines = base64.b64encode(json.dumps(telling_lines()).encode()).decode()
    (folder / "rope.py").write_text(SEARCH.format(lines=lines, top=top, skipped=skipped), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [python, "-P", "-c", GRADE, kind, folder]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found = re.search(r"READ (\d+) FOUND (\d+) (.*)", done.stdout)
    assert found, done.stdout[:2000]
    return int(found[1]), int(found[2]), found[3]


def test_no_readable_file_has_a_line_of_a_solution(python, tmp_path):
    system = ("/usr", sys.base_prefix) if python.parents[1].name.startswith("editable") else ()  # once will do
    read, found, which = searched(python, tmp_path, "bubblewrap", "/", ("/proc", "/sys", *system))
    own_tmp = Path(sysconfig.get_path("purelib")).resolve().is_relative_to("/tmp")  # which every submission gets empty
    assert read > (0 if own_tmp else 5000), "the search did not get far enough to say anything"
    assert found == 0, which


def test_without_the_sandbox_the_same_search_finds_some(python, tmp_path):
    where = "import llamalab.places as p; print(p.root())"
    top = subprocess.run([python, "-P", "-c", where], cwd=tmp_path, capture_output=True, text=True).stdout.strip()
    _, found, _ = searched(python, tmp_path, "process", top)
    assert found > 0
