"""The instructor's commands: their arguments, and where each lives. Imports nothing heavy: `check` comes by too."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path

EXAMPLES = """  python -m autograder release EDITION ../handout   a folder and a zip for students, proven
  python -m autograder audit EDITION            are its wrong solutions caught, and its unusual ones accepted?
  python -m autograder build-references COMPONENT  after changing a component's cases, oracle or banks
"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add every instructor's command to ``python -m autograder``."""
    audit = commands.add_parser("audit", help="grade the banks of wrong and of unusual right solutions")
    audit.add_argument("names", nargs="*", metavar="EDITION", help="only these; all, if none is named")
    audit.add_argument(
        "--component",
        action="append",
        dest="components",
        default=[],
        help="only its banks and graders; may be repeated",
    )
    audit.add_argument("--seed", type=int, help="fresh inputs in place of the stored ones; names are not looked at")
    audit.set_defaults(run=_of("audit"))
    build = commands.add_parser("build-references", help="make the stored inputs, outputs and fingerprints anew")
    build.add_argument("names", nargs="*", metavar="COMPONENT", help="only these; all, if none is named")
    build.add_argument("--edition", help="only its course; every course, if none is named")
    build.set_defaults(run=_of("build_references"))
    release = commands.add_parser("release", help="write a handout: a folder and a zip, proven")
    release.add_argument("name", metavar="EDITION", help="an edition of courses/, or the path of its TOML")
    release.add_argument("destination", type=Path, metavar="DEST", help="the folder; the zip is DEST.zip")
    release.add_argument("--force", action="store_true", help="replace what an earlier release wrote there")
    release.set_defaults(run=_of("release"))


def _of(module: str) -> Callable[[argparse.Namespace], int]:
    """The ``run`` of a command's module, imported when it is called; a command's options are its arguments."""
    return lambda options: importlib.import_module(f"autograder.instructor.{module}").run(**vars(options))
