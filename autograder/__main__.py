"""``python -m autograder``: which components of a submission work, which are to do, and why one does not."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from autograder import editions
from llamalab import command

EXAMPLES = """examples:
  python -m autograder check                       every component: done, to do, or what is wrong and where
  python -m autograder check COMPONENT             only this one, or several
  python -m autograder check --json results.json   also for a program to read
"""

os.environ.setdefault("OMP_NUM_THREADS", "1")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 0 only if everything it looked at is in order."""
    parser = command.parser("autograder", "Grade the components of a submission.", EXAMPLES)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="which components work, and why one does not")
    check.add_argument("components", nargs="*", metavar="COMPONENT", help="only these; all, if none is named")
    check.add_argument("--submission", type=Path, default=Path("."), metavar="DIR", help="default: this folder")
    check.add_argument(
        "--edition", "--track", help="an edition of courses/, or the path of its TOML; default: a handout's own"
    )
    check.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    check.set_defaults(run=run_check)
    for package in ("instructor", "classroom"):  # a handout has neither
        if importlib.util.find_spec(f"autograder.{package}"):
            more = importlib.import_module(f"autograder.{package}.commands")
            more.add_commands(commands)
            parser.epilog += more.EXAMPLES
    named = next(iter(editions.names()), "EDITION")
    parser.epilog = parser.epilog.replace("EDITION", named)
    return command.run(parser, arguments)


def run_check(options: argparse.Namespace) -> int:
    """Grade the components asked for and print the table."""
    from autograder.engine.session import Session
    from autograder.intake.submission import Submission

    edition = editions.load(options.edition)
    components = edition.chosen(options.components)
    submission = Submission.of(edition, options.submission)
    with Session() as session:  # torch loads over there while pytest loads here
        from autograder.engine import graders
        from autograder.engine.table import table
        from llamalab.files import write_text

        results = graders.grade(edition, graders.collect(edition, components), submission, session)
    if options.json is not None:
        write_text(options.json, results.to_json())
    print(table(results), end="")
    return 0 if results.ok else 1


if __name__ == "__main__":
    sys.exit(main())
