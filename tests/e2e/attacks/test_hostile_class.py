"""A class with hostile archives in it is graded; the honest ones' results are those of a class without."""

from __future__ import annotations

import argparse
import io
import json
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import pytest

from autograder import trust
from autograder.classroom import batch, inputs
from autograder.classroom.gradebook import Gradebook
from autograder.classroom.records import Record
from autograder.engine import references
from tests.e2e.attacks.attack import RIGHT, WRONG
from tests.e2e.attacks.conftest import why_not
from tests.small_course import ROPE, a_course

pytestmark = pytest.mark.slow
MARKUP = "</script><script>alert(1)</script>"
HONEST = {"ada": RIGHT, "bob": WRONG + "print('by Bob')\n"}
RUNNING = {  # what is handed in as text, and the outcome of its first test
    f"=HYPERLINK(1) {MARKUP.replace('/', '')}": (f"raise ValueError({MARKUP!r} * 100)\n", "error"),
    "kill": ("import os\nos.kill(1, 9)\nos.killpg(0, 9)\n", "crashed"),
    "hang": ("import time\ntime.sleep(99)\n", "timeout"),
    "bomb": ("x = bytearray(1 << 40)\n", "out of memory"),
    "forge": ("import os\nprint('{\"earned\": 15}', flush=True)\nos._exit(0)\n", "crashed"),
}
REFUSED = ("slip.zip", "bomb.zip", "link.tar", "device.tar", "noise.zip")


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Record]]:
    """The records of a class with hostile submissions and of one without."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("classes")
    for name in ("with", "without"):
        for student, text in HONEST.items():
            hand_in(folder / name, student, text)
    for student, (text, _) in RUNNING.items():
        hand_in(folder / "with", student, text)
    for name, data in archives().items():
        (folder / "with" / name).write_bytes(data)
    a_course(folder / "courses" / "mini_llama", ROPE.format(points=15))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trust, "COURSES", folder / "courses")
        patch.setattr(
            inputs, "fresh", lambda edition, seed: partial(references.load, edition)
        )  # drawing them would take seconds
        return {
            "with": grade(folder / "with", folder / "results", workers=2),
            "without": grade(folder / "without", folder / "other results", workers=1),
        }


def hand_in(folder: Path, student: str, text: str) -> None:
    (folder / student).mkdir(parents=True)
    (folder / student / "rope.py").write_text(text)


def archives() -> dict[str, bytes]:
    def zipped(name: str, data: bytes) -> bytes:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, data)
        return target.getvalue()

    def tarred(kind: bytes) -> bytes:
        target, entry = io.BytesIO(), tarfile.TarInfo("rope.py")
        entry.type, entry.linkname = kind, "/etc/passwd"
        with tarfile.open(fileobj=target, mode="w") as archive:
            archive.addfile(entry)
        return target.getvalue()

    made = (
        zipped("../../../rope.py", RIGHT.encode()),
        zipped("rope.py", bytes(64 << 20)),
        tarred(tarfile.SYMTYPE),
        tarred(tarfile.BLKTYPE),
        b"PK\3\4" + bytes(range(256)) * 4,
    )
    return dict(zip(REFUSED, made, strict=True))


def grade(submissions: Path, out: Path, workers: int) -> dict[str, Record]:
    options = {
        "edition": "small",
        "submissions": submissions,
        "out": out,
        "workers": workers,
        "seed": 1,
        "regrade": False,
    }
    assert batch.run(argparse.Namespace(**options, isolation="bubblewrap", seconds=2.5, memory=256)) == 0
    with Gradebook(out / "gradebook.sqlite") as book:
        return {record.student: record for record in book.records()}


def without_times(record: Record) -> dict:
    return {name: value for name, value in json.loads(record.to_json()).items() if name != "times"}


def test_honest_results_are_those_of_a_class_without_attacks(graded):
    found = graded["with"]
    for student in HONEST:
        assert without_times(found[student]) == without_times(graded["without"][student])
    assert found["ada"].results.earned == 15 and 0 < found["bob"].results.earned < 15
    assert len(found) == len(HONEST) + len(RUNNING) + len(REFUSED)
    for student, (_, outcome) in RUNNING.items():
        results = found[student].results
        assert results.earned == 0 and results.components[0].tests[0].outcome == outcome, student
    refused = [record for record in found.values() if record.status == "refused"]
    assert len(refused) == len(REFUSED) and all(record.problem and record.results.earned == 0 for record in refused)
