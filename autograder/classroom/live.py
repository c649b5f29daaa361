"""What the instructor sees while a class is graded: a live table, or a line a submission where there is no terminal.

Everything that a submission chose, its name above all, is cleaned before it is shown.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autograder.classroom.records import Record
from autograder.engine.table import score as score_of
from llamalab import text

LONGEST = 40  # characters of a name
AROUND = 6  # lines of the terminal that are not rows
COLOURS = {"ok": "green", "todo": "yellow", "FAIL": "red", "refused": "magenta", "failed": "bold red"}


def marks(record: Record) -> str:
    """``82.5/100``, or a dash where there are none."""
    return score_of(record.results.earned, record.results.points) if record.status == "graded" else "-"


def state(record: Record) -> str:
    """The worst of the components' states, or why there are none."""
    if record.status != "graded":
        return record.status
    states = {row.state for row in record.results.components}
    return next(state for state in ("FAIL", "todo", "ok") if state in states)


def duration(seconds: float) -> str:
    """``4.2 s``, ``42 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, hours = divmod(round(seconds), 60), divmod(round(seconds / 60), 60)
    return f"{minutes[0]} min {minutes[1]} s" if seconds < 3600 else f"{hours[0]} h {hours[1]} min"


class _View(AbstractContextManager):
    """How far a class is, and how long the rest will take if it is like what has been."""

    def __init__(self, total: int) -> None:
        self._total, self._start = total, time.monotonic()
        self._finished: list[Record] = []

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, slug: str, student: str) -> None:
        pass

    def done(self, record: Record) -> None:
        self._finished.append(record)

    def refresh(self) -> None:
        pass

    def _so_far(self) -> tuple[str, str]:
        """``5/20`` and ``about 3 min 20 s left``; that is empty before the first is done."""
        done, spent = len(self._finished), time.monotonic() - self._start
        left = f"about {duration(spent / done * (self._total - done))} left" if 0 < done < self._total else ""
        return f"{done}/{self._total}", left

    def _facts(self, record: Record) -> tuple[str, str, str, str]:
        """Student, marks, state and time."""
        name, seconds = text.line(record.student, LONGEST), duration(record.times["seconds"])
        return name, marks(record), state(record), seconds


class Lines(_View):
    """A line for each finished submission."""

    def __init__(self, total: int, out: TextIO) -> None:
        super().__init__(total)
        self._out = out

    def done(self, record: Record) -> None:
        super().done(record)
        counted, left = self._so_far()
        print("  ".join(filter(None, [f"[{counted}]", *self._facts(record), left])), file=self._out, flush=True)


class LiveTable(_View):
    """A table with a row a submission, the last that fit, and a bar."""

    def __init__(self, total: int, console: Console) -> None:
        super().__init__(total)
        self._console = console
        self._running: dict[str, tuple[str, float]] = {}
        self._live = Live(self._picture(), console=console, auto_refresh=False, redirect_stdout=False)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.clear()
        self.refresh()
        self._live.stop()

    def started(self, slug: str, student: str) -> None:
        self._running[slug] = (student, time.monotonic())

    def done(self, record: Record) -> None:
        super().done(record)
        self._running.pop(record.slug, None)
        self.refresh()

    def refresh(self) -> None:
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for title in ("student", "marks", "state", "time"):
            table.add_column(title, justify="right" if title in ("marks", "time") else "left", no_wrap=True)
        room = max(1, self._console.height - AROUND - len(self._running))
        rows = [(*self._facts(record), COLOURS[state(record)]) for record in self._finished[-room:]]
        now = time.monotonic()
        for student, since in self._running.values():
            rows.append((text.line(student, LONGEST), "", "running", duration(now - since), "cyan"))
        for student, points, word, seconds, colour in rows:
            table.add_row(Text(student), points, Text(word, colour), seconds)
        foot = Table.grid(padding=(0, 1))
        foot.add_row(ProgressBar(self._total, len(self._finished), width=30), *self._so_far())
        return Group(table, Text(), foot)


def view(total: int) -> Lines | LiveTable:
    """The table on a terminal, lines elsewhere; a context in which submissions are ``started`` and ``done``."""
    console = Console(stderr=True)
    shows_tables = console.is_terminal and not console.is_dumb_terminal
    return LiveTable(total, console) if shows_tables else Lines(total, sys.stderr)
