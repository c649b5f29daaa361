"""The workers of a class: threads that grade, each over a session of its own, and what they report."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from autograder.classroom.marking import Engine, Opened
from autograder.classroom.records import Record
from autograder.engine.claims import Answer, Fault
from autograder.engine.session import Session
from llamalab import text
from llamalab.errors import UserError

REFRESH = 0.5  # seconds between two looks at the screen
PATIENCE = 5.0  # seconds that a thread has to end once its session is closed
LONGEST = 300  # characters of an error's text


class Done(NamedTuple):
    """``trace`` is for the instructor, where grading went wrong on this side."""

    record: Record
    trace: str = ""


class ThreadEnded(NamedTuple):
    """A thread has ended; with an error, the class cannot go on."""

    error: BaseException | None = None


class Stopped(UserError):
    """Raised between two calls once the class is to stop. (Graders let a ``UserError`` pass.)"""


class Watched:
    """A session that takes no more calls once the class is to stop."""

    def __init__(self, session: Session, stop: threading.Event) -> None:
        self._session, self._stop = session, stop

    def calls(self, *request: Any) -> list[Answer | Fault]:
        if self._stop.is_set():
            raise Stopped("stopped")
        return self._session.calls(*request)


class Crew(AbstractContextManager):
    """So many workers. Their sessions start at once; leaving the context ends them, whatever they are doing.

    Args:
        start: starts a session.
        count: how many.

    Raises:
        UserError: a session cannot be started.
    """

    def __init__(self, start: Callable[[], Session], count: int) -> None:
        self._start = start
        self._sessions: list[Session] = []
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._events: queue.SimpleQueue[Opened | Done | ThreadEnded] = queue.SimpleQueue()
        try:
            for _ in range(count):
                self._sessions.append(start())
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker and thread. What they still report is not heard."""
        self._stop.set()
        for session in self._sessions:
            session.close()
        for thread in self._threads:
            thread.join(PATIENCE)
        for session in self._sessions:  # a thread may have started its worker again meanwhile
            session.close()

    def grade(self, engine: Engine, todo: Sequence[Opened]) -> Iterator[Opened | Done | None]:
        """Grade the submissions; yields each that is begun, what is done, and None every now and then.

        Raises:
            UserError: a worker does not start.
        """
        waiting: queue.SimpleQueue[Opened] = queue.SimpleQueue()
        for each in todo:
            waiting.put(each)
        for index in range(len(self._sessions)):
            self._threads.append(threading.Thread(target=self._work, args=(index, engine, waiting), daemon=True))
            self._threads[-1].start()
        working = len(self._threads)
        while working:
            try:
                event = self._events.get(timeout=REFRESH)
            except queue.Empty:
                yield None
                continue
            if isinstance(event, ThreadEnded):
                working -= 1
                if event.error is not None:
                    raise event.error
            else:
                yield event

    def _work(self, index: int, engine: Engine, waiting: queue.SimpleQueue[Opened]) -> None:
        """What one thread does."""
        error = None
        try:
            while not self._stop.is_set():
                opened = waiting.get_nowait()
                self._events.put(opened)
                self._events.put(self._grade_one(index, engine, opened))
        except (queue.Empty, Stopped):
            pass
        except BaseException as problem:  # it is raised in the main thread
            error = problem
        self._events.put(ThreadEnded(error))

    def _grade_one(self, index: int, engine: Engine, opened: Opened) -> Done:
        """Grade a submission. Whatever goes wrong with it stays its own, except a worker that does not start."""
        try:
            try:
                return Done(engine.grade(opened, Watched(self._sessions[index], self._stop)))
            except Stopped:
                raise
            except UserError:  # a worker died; if a new one does not start either, it is not for this submission
                self._replace(index)
                return Done(engine.grade(opened, Watched(self._sessions[index], self._stop)))
        except UserError:
            raise
        except Exception as error:
            self._replace(index)
            words = text.line(f"{type(error).__name__}: {error}", LONGEST)
            problem = f"grading went wrong on this side, not in the submission ({words})"
            return Done(engine.failed(opened, problem), text.plain(traceback.format_exc()))

    def _replace(self, index: int) -> None:
        """A new session for a thread: nobody knows what state the old one is in."""
        self._sessions[index].close()
        if self._stop.is_set():
            raise Stopped("stopped")
        self._sessions[index] = self._start()
