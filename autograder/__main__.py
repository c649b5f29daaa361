"""``python -m autograder``: which components of a submission work, which are to do, and why one does not."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from autograder import editions
from autograder.editions import Edition
from autograder.intake.submission import Submission
from llamalab import command
from llamalab.errors import UserError

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
        "--edition", "--track", help="an edition of courses/, or the path of its TOML; default: each there is"
    )
    check.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    check.set_defaults(run=run_check)
    for package in ("instructor", "classroom"):  # a handout has neither
        if Path(__file__).with_name(package).is_dir():
            more = importlib.import_module(f"autograder.{package}.commands")
            more.add_commands(commands)
            parser.epilog += more.EXAMPLES
    named = next(iter(editions.names()), "EDITION")
    parser.epilog = parser.epilog.replace("EDITION", named)
    title, *examples = parser.epilog.splitlines(keepends=True)
    for name, each in commands.choices.items():  # its own examples below each command's help
        each.formatter_class = parser.formatter_class
        each.epilog = title + "".join(line for line in examples if f"autograder {name} " in line)
    return command.run(parser, arguments)


def run_check(options: argparse.Namespace) -> int:
    """Grade the components asked for and print a table: of the edition, or of each there is where none is named."""
    from autograder.engine.session import Session

    chosen = _chosen_editions(options)
    if options.json is not None and len(chosen) > 1:
        raise UserError(f"--json holds one edition's results; name it with --edition: {_names(chosen)}")
    submissions = [Submission.of(edition, options.submission) for edition in chosen]
    fine = True
    with Session() as session:  # torch loads over there while pytest loads here
        from autograder.engine import graders
        from autograder.engine.table import table
        from llamalab.files import write_text

        for submission in submissions:
            edition = submission.edition
            tests = graders.collect(edition, edition.chosen(options.components))
            results = graders.grade(edition, tests, submission, session)
            if options.json is not None:
                write_text(options.json, results.to_json())
            print(f"{edition.title}\n" * (len(chosen) > 1) + table(results), end="", flush=True)
            fine = fine and results.ok
    return 0 if fine else 1


def _chosen_editions(options: argparse.Namespace) -> list[Edition]:
    """The edition that is named; else each that has the components and whose student files are in the folder."""
    if options.edition or len(editions.names()) == 1:
        return [editions.load(options.edition)]
    every = [editions.load(name) for name in editions.names()]
    files = {path.name for path in options.submission.glob("*")}
    here = [edition for edition in every if files & set(edition.student_files)]
    if not here:
        raise UserError(f"{options.submission} has no student's file of any edition; name the folder that has them")
    found = [edition for edition in here if set(options.components) <= edition.components.keys()]
    if not found:
        raise UserError(f"no edition has a component {' and a '.join(options.components)}; there are {_names(every)}")
    return found


def _names(found: list[Edition]) -> str:
    return ", ".join(edition.name for edition in found)


if __name__ == "__main__":
    sys.exit(main())
