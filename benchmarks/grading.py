"""How fast a class is graded: `autograder grade`, and a fresh pytest process for each submission, in one run.

    .venv/bin/python -m benchmarks.grading                # 200 submissions, 20 of them for the peer; 6 minutes
    .venv/bin/python -m benchmarks.grading --count 40     # a smaller class

The class is made of the solved tree and the graders' banks (`benchmarks.grading_class`), the same every time: finished,
partly done, with one known mistake each, and hostile. stdout gets one JSON line:

    seconds, per_s       `python -m autograder grade` in bubblewrap with its default workers, from start to class page;
                         hostile ones included
    peak_mb              largest proportional memory (PSS) of the whole process tree meanwhile
    one_worker_peak_mb   the same for one submission alone
    isolation_share      of the time that one worker takes for a finished submission, the part that bubblewrap and
                         namespaces add: taken in turns with the same worker outside of them
    fresh_per_s          the peer: the same tests by `python -m pytest tests/graders` in a handout of its own for each
                         submission, as many at a time; no isolation, no fresh inputs
    honest_per_s         the honest part of the class by `grade`, start and class page included
    ratio                honest_per_s over fresh_per_s: both without hostile ones, which the peer cannot be given
    ratio_with_hostile   per_s over fresh_per_s
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median

from autograder import editions
from autograder.classroom import isolation
from autograder.editions import Edition
from autograder.engine import graders
from autograder.engine.session import processors
from autograder.instructor import release
from autograder.instructor.handout import assemble
from autograder.intake.submission import Submission
from autograder.worker import confinement
from benchmarks import grading_class
from llamalab.evaluation.results import processor

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
TURNS = 5


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def watched(command: Sequence[str]) -> tuple[float, float]:
    """Run a command: its seconds, and the largest memory of its process tree in MB."""
    started, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=errors)
        while process.returncode is None:
            try:
                process.wait(0.25)
            except subprocess.TimeoutExpired:
                peak = max(peak, sum(map(_memory, _tree(process.pid))))
        seconds = time.perf_counter() - started
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{errors.read().decode()}")
    return seconds, peak


def _tree(root: int) -> list[int]:
    found = [root]
    for pid in found:
        try:
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:
            continue
    return found


def _memory(pid: int) -> float:
    """MB that are a process's own, and its part of what it shares; what is resident where that is not told."""
    for file, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        with suppress(PermissionError):
            return confinement.kilobytes(f"/proc/{pid}/{file}", (field,)) / 1024
    return 0.0


def grade(edition: Edition, submissions: Path, out: Path, workers: int | None = None) -> tuple[float, float]:
    """Grade a folder by the command: seconds and peak MB."""
    options = [] if workers is None else ["--workers", str(workers)]
    command = [sys.executable, "-m", "autograder", "grade", edition.name, str(submissions), "--out", str(out)]
    return watched([*command, "--seed", "1", *options])


def isolation_share(edition: Edition) -> float:
    """Medians of grading one finished submission with and without a sandbox, in turns."""
    finished = Submission.of(edition, edition.files)
    tests = graders.collect(edition)
    times: dict[str, list[float]] = {"bubblewrap": [], "process": []}
    sessions = {kind: isolation.session(kind, edition, tests) for kind in times}
    try:
        for number in range(2 * (TURNS + 1)):  # a submission of its own each time: each gets its walls anew
            kind = list(times)[number % 2]
            first = next(iter(finished.files))
            another = {**finished.files, first: finished.files[first] + b"# %d\n" % number}
            started = time.perf_counter()
            graders.grade(edition, tests, Submission(edition, another), sessions[kind])
            times[kind].append(time.perf_counter() - started)
    finally:
        for session in sessions.values():
            session.close()
    confined, plain = (median(times[kind][1:]) for kind in ("bubblewrap", "process"))
    return 1 - plain / confined


def fresh_processes(edition: Edition, archives: Sequence[Path], folder: Path) -> float:
    """Seconds for these submissions, each in a handout of its own with a pytest of its own."""
    made = assemble(edition)
    for archive in archives:
        release.write(made, folder / archive.stem)
        with zipfile.ZipFile(archive) as opened:  # our own, from grading_class
            opened.extractall(folder / archive.stem)

    def run(archive: Path) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/graders"]
        subprocess.run(command, cwd=folder / archive.stem, env=ENVIRONMENT, stdout=subprocess.DEVNULL)

    started = time.perf_counter()
    with ThreadPoolExecutor(processors()) as pool:
        list(pool.map(run, archives))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edition", default="mmia")
    parser.add_argument("--count", type=int, default=200, help="submissions (default: 200)")
    parser.add_argument("--peer", type=int, default=20, help="honest ones that the peer grades too (default: 20)")
    options = parser.parse_args()
    edition = editions.load(options.edition)
    with tempfile.TemporaryDirectory(prefix="llamalab-") as name:
        folder = Path(name)
        for part in ("class", "honest", "one", "fresh"):
            (folder / part).mkdir()
        kind_of = grading_class.write(edition, folder / "class", options.count)
        kinds = Counter(kind_of.values())
        say(f"grading {options.count}: {dict(kinds)}")
        seconds, peak = grade(edition, folder / "class", folder / "results")
        honest = [path for path, kind in kind_of.items() if kind != "hostile"]
        for path in honest:
            shutil.copy(path, folder / "honest")
        shutil.copy(honest[0], folder / "one")
        few = honest[: options.peer]
        say(f"{seconds:.0f} s; now {len(few)} by a fresh pytest each")
        fresh = fresh_processes(edition, few, folder / "fresh")
        say(f"{fresh:.0f} s; now the {len(honest)} honest ones in one batch")
        honest_seconds, _ = grade(edition, folder / "honest", folder / "honest_results")
        say(f"{honest_seconds:.0f} s; now one alone, and isolation")
        _, alone = grade(edition, folder / "one", folder / "one_results", workers=1)
        share = isolation_share(edition)
    figures = {
        "count": options.count,
        "kinds": kinds,
        "seconds": round(seconds, 1),
        "per_s": round(options.count / seconds, 3),
        "peak_mb": round(peak),
        "one_worker_peak_mb": round(alone),
        "isolation_share": round(share, 3),
        "honest_per_s": round(len(honest) / honest_seconds, 3),
        "fresh_per_s": round(len(few) / fresh, 3),
        "ratio": round(len(honest) / honest_seconds / (len(few) / fresh), 2),
        "ratio_with_hostile": round(options.count / seconds / (len(few) / fresh), 2),
        "hardware": {"processor": processor(), "cores": processors()},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
