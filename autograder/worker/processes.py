"""Worker side: one process per request, watched until it has answered, died or run out of time, then ended.

A fork of the worker, which has torch loaded already. It runs ``call.answer`` on one case after the other and writes a
message for each; it is told when to go on with the next, so that every case has its own time and its own output. What
it prints goes to a pipe of its own and is kept up to a limit.

In a sandbox the fork gives up its rights first (``confinement``), and whatever it left running or lying about is gone
afterwards.
"""

from __future__ import annotations

import faulthandler
import math
import os
import resource
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from autograder.worker import call, confinement, protocol

TEXT_KEPT = {"printed": 8192, "stack": 16384}  # bytes, by pipe
OPEN_FILES, FILE_SIZE, PROCESSES = 256, 64 << 20, 128  # what a request may have; processes not as the grading user
TICK = 0.02  # seconds between looks at a fork
SAYING_WHERE = 0.1  # seconds for writing down which functions it is in
CPU_TICK = os.sysconf("SC_CLK_TCK")  # of the times in /proc


@dataclass
class Ended:
    """How a case ended: ``answered``, or else ``exited``, ``signalled``, ``timeout``, ``cpu``, ``too_large`` or
    ``memory``."""

    how: str = "timeout"
    status: int = 0
    answer: protocol.Assembly = field(default_factory=protocol.Assembly)
    printed: bytearray = field(default_factory=bytearray)
    stack: bytearray = field(default_factory=bytearray)  # what ``faulthandler`` wrote

    def keep(self, pipe: str, piece: bytes) -> None:
        """Take a piece of what came through a pipe: ``answer``, which may then be whole or over the limits, or text."""
        if pipe != "answer":
            kept = getattr(self, pipe)
            kept += piece[: TEXT_KEPT[pipe] - len(kept)]
            return
        try:
            self.answer.add(piece)
        except protocol.ProtocolError:
            self.how = "too_large"
        if self.answer.complete:
            self.how = "answered"

    def died(self, code: int) -> None:
        """Note an exit code, negative for a signal, of a process that has not answered."""
        if self.how == "timeout":
            self.how, self.status = ("signalled", -code) if code < 0 else ("exited", code)

    def message(self) -> protocol.Message:
        answer = self.answer.data if self.how == "answered" else b""
        said = {"answer": answer, "printed": self.printed, "stack": self.stack}
        arrays = {name: np.frombuffer(bytes(data), dtype="u1") for name, data in said.items()}
        return {"how": self.how, "status": self.status, **arrays}


def run_in_fork(
    request: protocol.Message, cases: Sequence[protocol.Message], private: tuple[int, ...], confined: bool
) -> Iterator[Ended]:
    """Answer the cases of a request in one fork, which has lost the file descriptors ``private``.

    Yields how each case ended, up to the first that was not answered.

    Args:
        confined: this is the first process of the namespaces of ``confinement.enter``.
    """
    (answer_in, answer_out), (printed_in, printed_out), (stack_in, stack_out) = (os.pipe() for _ in range(3))
    go_on_in, go_on_out = os.pipe()  # the only one in which this side writes
    ours, theirs = (answer_in, printed_in, stack_in, go_on_out), (answer_out, printed_out, stack_out, go_on_in)
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for descriptor in (*private, *ours):
                os.close(descriptor)
            redirect_standard_streams(printed_out)
            faulthandler.register(signal.SIGUSR1, file=stack_out)
            limit(request)
            if confined:
                os.chdir("/tmp")
                limit_processes()
                confinement.give_up_rights()
            answer_all(request, cases, answer_out, go_on_in)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    for descriptor in theirs:
        os.close(descriptor)
    try:
        pipes = {"answer": answer_in, "printed": printed_in, "stack": stack_in}
        with _Watch(pid, pipes, request, confined) as watch:
            for number in range(len(cases)):
                if number:
                    with suppress(OSError):  # it has died; its exit code says how
                        os.write(go_on_out, b"\0")
                ended = watch.case()
                if ended.how != "answered" or number == len(cases) - 1:
                    watch.end()  # before anybody hears of it: whoever does may look for what is left
                yield ended
                if ended.how != "answered":
                    return
    finally:
        for descriptor in ours:
            os.close(descriptor)


def answer_all(request: protocol.Message, cases: Sequence[protocol.Message], answers: int, go_on: int) -> None:
    """What a process does with its cases: it answers one, waits until it is told to go on, and so on."""
    for number, case in enumerate(cases):
        if number:
            os.read(go_on, 1)
        write_all(answers, call.answer(request, case))


class _Watch:
    """What the process that watches a fork knows about it. Leaving the context ends the fork and all it has started."""

    def __init__(self, pid: int, pipes: dict[str, int], request: protocol.Message, confined: bool) -> None:
        self._pid, self._confined, self._over = pid, confined, False
        self._seconds, self._cpu, self._memory = request["timeout"], request["cpu"] or math.inf, request["memory"]
        # A fork shares all that torch takes with this process; only what it has beyond that is the submission's.
        self._baseline = confinement.own_memory() if confined else 0
        self._status: int | None = None
        self._ended = Ended()
        self._selector = selectors.DefaultSelector()
        for pipe, descriptor in pipes.items():
            self._selector.register(descriptor, selectors.EVENT_READ, pipe)

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._selector.close()

    def case(self) -> Ended:
        """Collect the answer to a case and the output. An exit counts only once the pipes are empty."""
        self._ended = ended = Ended()
        deadline = time.monotonic() + self._seconds
        weighed = time.monotonic()
        worked = self._processor_time()
        while ended.how == "timeout" and time.monotonic() < deadline:
            read_something = self._read_ready(TICK)
            if self._status is None:
                finished, code = os.waitpid(self._pid, os.WNOHANG)
                self._status = os.waitstatus_to_exitcode(code) if finished else None
            elif not read_something:  # the exit was seen in an earlier turn, and nothing has come since
                ended.died(self._status)
            if self._confined and ended.how == "timeout" and time.monotonic() > weighed + TICK:  # even while it prints
                weighed = time.monotonic()
                if confinement.memory_in_use(self._baseline, self._memory) > self._memory:
                    ended.how = "memory"
            # Also of an answer that is here already: the last of the work may have come with it, within one tick.
            if self._processor_time() - worked > self._cpu and ended.how in ("timeout", "answered"):
                ended.how = "cpu"
        how = ended.how
        if how in ("timeout", "cpu"):
            self._ask_where()
        if how != "answered":
            self.end()  # before the last look: whatever still writes would otherwise go on doing so
        self._read_ready(0)  # what was printed last
        ended.how = how  # an answer that comes only now is late
        return ended

    def _read_ready(self, timeout: float) -> bool:
        """Keep what can be read now, a piece of each pipe; whether there was anything."""
        found = False
        for key, _ in self._selector.select(timeout):
            piece = os.read(key.fd, 1 << 20)
            if piece:
                found = True
                self._ended.keep(key.data, piece)
            else:
                self._selector.unregister(key.fd)
        return found

    def _processor_time(self) -> float:
        """Seconds of processor time of the fork and of what it waited for, where they are limited.

        In a sandbox, of every process of the request: work that was left to a child counts, waited for or not.
        """
        if self._cpu == math.inf or self._status is not None:
            return 0.0
        return sum(map(_ticks, confinement.others() if self._confined else [str(self._pid)])) / CPU_TICK

    def _ask_where(self) -> None:
        """Have the fork write down which functions it is in, if it will."""
        until = time.monotonic() + SAYING_WHERE
        if self._status is None:
            os.kill(self._pid, signal.SIGUSR1)
            while (self._read_ready(TICK) or not self._ended.stack) and time.monotonic() < until:
                pass

    def end(self) -> None:
        """End the fork and all it has started, if that has not been done yet."""
        if self._over:
            return
        self._over = True
        if self._confined:
            confinement.clear()
        else:
            _kill(self._pid, reaped=self._status is not None)
            confinement.end_descendants()


def _ticks(process: str) -> int:
    """What a process has had of a processor, and the children that it waited for; 0 for one that is gone."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:  # or no /proc: macOS, where wall time alone is limited
        return 0
    return sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime


def _kill(pid: int, reaped: bool) -> None:
    """Kill a child and the processes of its session."""
    with suppress(ProcessLookupError, PermissionError):  # gone, or the group not made yet
        os.killpg(pid, signal.SIGKILL)
    if not reaped:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def redirect_standard_streams(descriptor: int) -> None:
    """No input; output and errors go to ``descriptor``, a line at a time, so that a call that hangs has been heard."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(nothing)
    sys.stdout, sys.stderr = (
        open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False) for number in (1, 2)
    )


def limit(request: protocol.Message) -> None:
    """Limit this process where the system can: ``request["memory"]`` bytes more than now, processor time, files.

    Processor time is for all cases, and for several threads.
    """
    try:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # no /proc: macOS, which maps far more than it uses
        used = 32 << 30
    _lower(resource.RLIMIT_AS, used + request["memory"])
    _lower(resource.RLIMIT_CPU, math.ceil(request["cpu"] or request["timeout"] * 4) * request["cases"] + 10)
    _lower(resource.RLIMIT_CORE, 1)  # at 0, a system that hands crashes to a program still does
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_FSIZE, FILE_SIZE)


def limit_processes() -> None:
    """Limit how many processes the user of this one may have."""
    _lower(resource.RLIMIT_NPROC, PROCESSES)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with suppress(ValueError, OSError):  # a system without this limit
        resource.setrlimit(kind, (value, value))


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of an answer, after what was printed; student code may have closed or replaced that stream."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
