"""The instructor's commands: their arguments, and where each lives. Imports nothing heavy: `check` comes by too."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """  python -m autograder release EDITION ../handout   a folder and a zip for students, proven
  python -m autograder audit EDITION            are its wrong solutions caught, and its unusual ones accepted?
  python -m autograder build-references COMPONENT  after changing a component's cases, oracle or banks
"""


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add every instructor's command to ``python -m autograder``."""
    audit = commands.add_parser("audit", help="grade the banks of wrong and of unusual right solutions")
    audit.add_argument("editions", nargs="*", metavar="EDITION", help="only these; all, if none is named")
    audit.add_argument("--component", action="append", default=[], help="only its banks and graders; may be repeated")
    audit.add_argument("--seed", type=int, help="fresh inputs in place of the stored ones; names are not looked at")
    audit.set_defaults(run=_audit)
    build = commands.add_parser("build-references", help="make the stored inputs, outputs and fingerprints anew")
    build.add_argument("components", nargs="*", metavar="COMPONENT", help="only these; all, if none is named")
    build.add_argument("--edition", help="only its course; every course, if none is named")
    build.set_defaults(run=_build_references)
    release = commands.add_parser("release", help="write a handout: a folder and a zip, proven")
    release.add_argument("edition", metavar="EDITION", help="an edition of courses/, or the path of its TOML")
    release.add_argument("destination", type=Path, metavar="DEST", help="the folder; the zip is DEST.zip")
    release.add_argument("--force", action="store_true", help="replace what an earlier release wrote there")
    release.set_defaults(run=_release)


def _audit(options: argparse.Namespace) -> int:
    from autograder.instructor import audit

    return audit.run(options.editions, options.component, options.seed)


def _build_references(options: argparse.Namespace) -> int:
    from autograder.instructor import build_references

    return build_references.run(options.components, options.edition)


def _release(options: argparse.Namespace) -> int:
    from autograder.instructor import release

    return release.run(options.edition, options.destination, options.force)
