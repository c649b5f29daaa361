"""The commands that grade a class: their arguments, and where each lives. Imports nothing heavy: `check` is near."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from types import ModuleType

EXAMPLES = """  python -m autograder doctor                      what isolation this machine offers, proven
  python -m autograder grade EDITION submissions/ --out results/    folders, zips or tarballs, one a student
  python -m autograder report results/             the pages and tables again, from the gradebook
  python -m autograder replay results/json/ada.json --submission submissions/ada.zip
  python -m autograder similarity EDITION submissions/ --out similarity/
  python -m autograder gradescope EDITION gradescope.zip
"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add every command of this package to ``python -m autograder``."""
    grade = commands.add_parser("grade", help="grade a folder of submissions, each in a sandbox")
    grade.add_argument("edition", metavar="EDITION", help="an edition of courses/, or the path of its TOML")
    grade.add_argument("submissions", type=Path, metavar="DIR", help="a folder, zip or tarball for each student")
    grade.add_argument("--out", type=Path, required=True, metavar="DIR", help="gradebook, results and pages")
    grade.add_argument("--workers", type=int, metavar="N", help="submissions at a time; default: one a processor")
    grade.add_argument("--seed", type=int, help="of the inputs; default: a fresh one, which is recorded")
    grade.add_argument("--regrade", action="store_true", help="unchanged submissions too; says whose marks change")
    grade.add_argument(
        "--isolation",
        choices=("bubblewrap", "process"),
        default="bubblewrap",
        help="process: without a sandbox, only for code that you trust",
    )
    grade.add_argument("--seconds", type=float, default=10.0, metavar="S", help="limit of one case (default: 10)")
    grade.add_argument(
        "--memory",
        type=int,
        default=1024,
        metavar="MB",
        help="limit of one process and all that it starts (default: 1024)",
    )
    grade.set_defaults(run=lambda given: _in("batch").run(given))

    report = commands.add_parser("report", help="write a class's pages and tables, from its gradebook")
    report.add_argument("results", type=Path, metavar="DIR", help="what `grade --out` wrote")
    report.add_argument("--edition", help="the path of its TOML, where it is not in courses/")
    report.set_defaults(run=lambda given: _in("report").run(given.results, given.edition))

    replay = commands.add_parser("replay", help="grade one submission again, with the recorded seed, and compare")
    replay.add_argument("result", type=Path, metavar="RESULT", help="a file of results/json/")
    replay.add_argument("--submission", type=Path, required=True, metavar="PATH", help="what the student handed in")
    replay.add_argument("--isolation", choices=("bubblewrap", "process"), default="bubblewrap")
    replay.add_argument("--edition", help="the path of its TOML, where it is not in courses/")
    replay.set_defaults(
        run=lambda given: _in("replay").run(given.result, given.submission, given.isolation, given.edition)
    )

    doctor = commands.add_parser("doctor", help="what isolation this machine offers, proven by trying to break it")
    doctor.set_defaults(run=lambda given: _in("doctor").run())

    similarity = commands.add_parser("similarity", help="pairs of submissions that share code, without the handout's")
    similarity.add_argument("edition", metavar="EDITION", help="the edition, whose handed out code does not count")
    similarity.add_argument("submissions", type=Path, metavar="DIR", help="a folder, zip or tarball for each student")
    similarity.add_argument("--out", type=Path, required=True, metavar="DIR", help="where index.html is written")
    similarity.set_defaults(run=lambda given: _in("similarity").run(given.edition, given.submissions, given.out))

    gradescope = commands.add_parser("gradescope", help="write an autograder for Gradescope")
    gradescope.add_argument("edition", metavar="EDITION", help="an edition of courses/, or the path of its TOML")
    gradescope.add_argument("zip", type=Path, metavar="ZIP", help="the file to write and upload")
    gradescope.set_defaults(run=lambda given: _in("gradescope").run(given.edition, given.zip))


def _in(module: str) -> ModuleType:
    return importlib.import_module(f"autograder.classroom.{module}")
