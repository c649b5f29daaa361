"""What every command does alike: its help, its errors in one sentence, Ctrl-C, and a reader that goes away.

    def main(argv=None):
        parser = command.parser("python -m llamalab.data", "Look at data.", EXAMPLES)
        parser.set_defaults(run=_show)        # takes the options, returns an exit status or None
        return command.run(parser, argv)

Imports nothing heavy, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence

from llamalab import text
from llamalab.errors import Interrupted, Misuse, UserError

Action = Callable[[argparse.Namespace], int | None]
INTERRUPTED, CLOSED_PIPE = 130, 141  # as a shell tells of a command that SIGINT or SIGPIPE ended


def parser(prog: str, about: str, examples: str = "") -> argparse.ArgumentParser:
    """A parser whose help ends with examples, as they stand, and says the default of each option that has one.

    Args:
        prog: what users type, such as ``python -m llamalab.assets`` or ``llamalab assets``.
    """
    return argparse.ArgumentParser(prog=prog, description=about, epilog=examples, formatter_class=_Help)


class _Help(argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = (
            not action.help
            or "default" in action.help
            or any(action.default is no for no in (None, False, argparse.SUPPRESS))
        )
        return action.help if silent else f"{action.help} (default: %(default)s)"


def sub_commands(parser: argparse.ArgumentParser) -> Callable[[str, Action, str], argparse.ArgumentParser]:
    """Give a parser sub-commands, of which one is required.

    Returns:
        what adds one: its name, its ``run`` and a sentence about it; the new parser's help has the same examples.
    """
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    def add(name: str, run: Action, about: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about, epilog=parser.epilog, formatter_class=_Help)
        sub.set_defaults(run=run)
        return sub

    return add


def between(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], float]:
    """The ``type`` of an option that is a number from ``low`` to ``high``, both included."""

    def number(word: str) -> float:
        try:
            value = kind(word)
        except ValueError:
            name = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"must be {name}, not {text.line(word)}") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be between {low} and {high}, not {value}")
        return value

    return number


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None, failed: int = 2) -> int:
    """Parse the command line, call the ``run`` that its parser has set with the options, and return the exit status.

    It is what ``run`` returned, None being 0; else ``failed`` after a sentence on stderr about what the user can put
    right (2 for a request that makes no sense), 1 for a part of a course that is still to be written, 130 after Ctrl-C
    and 141 when the reader of the output, such as ``head``, has seen enough.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no character of a name stops a `print`, whatever the screen
    try:
        try:
            options = parser.parse_args(argv)
            action = vars(options).pop("run")  # no option: a report lists those
            return action(options) or 0
        finally:
            print(end="", flush=True)  # here, where it may fail, and before any word on stderr
    except BrokenPipeError:
        _let_go_of_stdout()
        return CLOSED_PIPE
    except Interrupted:
        again = shlex.join(word for word in sys.orig_argv if word != "--resume")
        print(f"stopped, and nothing is lost; go on with\n  {again} --resume", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        _say(parser, "interrupted; nothing is left half-written", start="\n")
        return INTERRUPTED
    except NotImplementedError as error:
        _say(parser, todo(error))
        return 1
    except UserError as error:
        _say(parser, str(error))
        return 2 if isinstance(error, Misuse) else failed
    except OSError as error:
        _say(parser, f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
        _let_go_of_stdout()  # it may be stdout that cannot be written to
        return failed


def todo(error: NotImplementedError) -> str:
    """Which part of a student's code is still to be written."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"not implemented yet: {place.name} ({os.path.relpath(place.filename)}:{place.lineno})"


def _say(parser: argparse.ArgumentParser, sentence: str, start: str = "") -> None:
    name = parser.prog.removeprefix("python ").removeprefix("-m ")
    print(f"{start}{name}: {text.plain(sentence)}", file=sys.stderr)


def _let_go_of_stdout() -> None:
    """Send what is still to be written nowhere, so that nothing fails again when Python flushes at exit."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
