"""A made-up class for `benchmarks.grading`: submissions of every kind, from the solved tree and the graders' banks."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterator
from pathlib import Path

from autograder.editions import Edition
from autograder.engine import references
from autograder.instructor import bank, handout, solved

Files = dict[str, str]

# Put at the end of rope.py; each is a submission of its own.
HOSTILE = {
    "endless_loop": "while True:\n    pass",
    "exits": "import os\nos._exit(0)",
    "kills_everything": "import os, signal\nos.kill(-1, signal.SIGKILL)",
    "segfault": "import ctypes\nctypes.string_at(0)",
    "memory_bomb": "kept = [bytearray(1 << 28) for _ in range(1000)]",
    "fork_bomb": "import os\nwhile True:\n    os.fork()",
    "prints_without_end": "while True:\n    print('A' * 1_000_000)",
    "disk": "open('/tmp/x', 'wb').write(bytes(1 << 30))",
}


def write(edition: Edition, folder: Path, count: int) -> dict[Path, str]:
    """Write ``count`` zips, the same every time; the kind of each.

    30% finished, a third of them unusual but right; 25% partly done; 40% with one known mistake; 5% hostile.
    """
    kinds: dict[Path, str] = {}
    for number, (kind, files) in zip(range(count), _endless(edition), strict=False):
        path = folder / f"student_{number:03}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in sorted(files.items()):
                archive.writestr(name, text)
        kinds[path] = kind
    return kinds


def _endless(edition: Edition) -> Iterator[tuple[str, Files]]:
    choose = random.Random(2017)
    every = solved.sources(edition)
    finished = {name: every[name] for name in edition.student_files}
    made = handout.assemble(edition).files
    todo = {name: made[name].decode() for name in edition.student_files}
    rated = [name for name, component in edition.components.items() if component.points]
    options = {name: references.load(edition, name).options for name in rated}
    wrong = [entry for name in rated for entry in bank.asked(edition, name, options[name])]
    unusual = [entry for name in rated for entry in bank.alternatives(edition, name)]
    choose.shuffle(wrong)
    choose.shuffle(unusual)
    while True:
        for kind in choose.sample(
            ["finished"] * 4 + ["unusual"] * 2 + ["partly"] * 5 + ["wrong"] * 8 + ["hostile"], 20
        ):
            if kind == "finished":
                yield kind, finished
            elif kind == "partly":
                done = choose.sample(list(finished), choose.randint(0, len(finished) - 1))
                yield kind, {name: finished[name] if name in done else todo[name] for name in finished}
            elif kind == "hostile":
                attack = choose.choice(list(HOSTILE.values()))
                yield kind, finished | {"rope.py": f"{finished['rope.py']}\n{attack}\n"}
            else:
                entries = wrong if kind == "wrong" else unusual
                entries.append(entries.pop(0))
                applied = bank.apply(entries[-1], every)
                yield kind, {name: applied[name] for name in edition.student_files}
