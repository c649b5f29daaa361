"""What the instructor sees while a class is graded: a live table, or a line a submission where there is no terminal.

Everything that a submission chose, its name above all, is cleaned before it is shown.
"""

from __future__ import annotations

import sys
import time
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


class Clock:
    """How far a class is, and how long the rest will take if it is like what has been."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self._start = time.monotonic()

    def left(self) -> str:
        """``about 3 min 20 s left``; nothing before the first is done."""
        if not 0 < self.done < self.total:
            return ""
        spent = time.monotonic() - self._start
        return f"about {duration(spent / self.done * (self.total - self.done))} left"


class Lines:
    """A line for each finished submission."""

    def __init__(self, total: int, out: TextIO) -> None:
        self._clock, self._out = Clock(total), out

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def started(self, slug: str, student: str) -> None:
        pass

    def done(self, record: Record) -> None:
        self._clock.done += 1
        seconds = duration(record.times["seconds"])
        parts = [text.line(record.student, LONGEST), marks(record), state(record), seconds, self._clock.left()]
        counted = f"[{self._clock.done}/{self._clock.total}]"
        print("  ".join(filter(None, [counted, *parts])), file=self._out, flush=True)

    def refresh(self) -> None:
        pass


class LiveTable:
    """A table with a row a submission, the last that fit, and a bar."""

    def __init__(self, total: int, console: Console) -> None:
        self._clock, self._console = Clock(total), console
        self._running: dict[str, tuple[str, float]] = {}
        self._finished: list[Record] = []
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
        self._running.pop(record.slug, None)
        self._finished.append(record)
        self._clock.done += 1
        self.refresh()

    def refresh(self) -> None:
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Group:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for title in ("student", "marks", "state", "time"):
            table.add_column(title, justify="right" if title in ("marks", "time") else "left", no_wrap=True)
        room = max(1, self._console.height - AROUND - len(self._running))
        for record in self._finished[-room:]:
            word = state(record)
            seconds = duration(record.times["seconds"])
            table.add_row(Text(text.line(record.student, LONGEST)), marks(record), Text(word, COLOURS[word]), seconds)
        for student, since in self._running.values():
            table.add_row(
                Text(text.line(student, LONGEST)), "", Text("running", "cyan"), duration(time.monotonic() - since)
            )
        clock = self._clock
        foot = Table.grid(padding=(0, 1))
        foot.add_row(ProgressBar(clock.total, clock.done, width=30), f"{clock.done}/{clock.total}", clock.left())
        return Group(table, Text(), foot)


def view(total: int) -> Lines | LiveTable:
    """The table on a terminal, lines elsewhere; a context in which submissions are ``started`` and ``done``."""
    console = Console(stderr=True)
    return (
        LiveTable(total, console) if console.is_terminal and not console.is_dumb_terminal else Lines(total, sys.stderr)
    )
