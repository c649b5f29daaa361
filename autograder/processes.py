"""Worker side: one process per call, watched until it has answered, died or run out of time, then ended.

A fork of the worker, which has torch loaded already; or, where there is no fork, a fresh process. Either runs
``call.answer`` and writes one message. What it prints goes to a pipe of its own and is kept up to a limit. In a sandbox
the fork gives up its rights first (``confinement``), and whatever it left running or lying about is gone afterwards.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from autograder import call, confinement, protocol

try:
    import resource
except ImportError:  # Windows
    resource = None

PRINTED_KEPT = 8192  # bytes
OPEN_FILES, FILE_SIZE, PROCESSES = 256, 64 << 20, 128  # what a call may have; processes not as the grading user
TICK = 0.02  # seconds between looks at a call
START = 120.0  # seconds a fresh process may take to load torch
ONCE = "--once"


@dataclass
class Ended:
    """How a call ended: ``answered``, or else ``exited``, ``signalled``, ``timeout``, ``too_large`` or ``memory``."""

    how: str = "timeout"
    status: int = 0
    answer: protocol.Assembly = field(default_factory=protocol.Assembly)
    printed: bytearray = field(default_factory=bytearray)

    def keep_answer(self, piece: bytes) -> None:
        """Take a piece of the answer and notice when it is whole or over the limits."""
        try:
            self.answer.add(piece)
        except protocol.ProtocolError:
            self.how = "too_large"
        if self.answer.complete:
            self.how = "answered"

    def keep_printed(self, piece: bytes) -> None:
        self.printed += piece[: PRINTED_KEPT - len(self.printed)]

    def died(self, code: int) -> None:
        """Note an exit code, negative for a signal, of a process that has not answered."""
        if self.how == "timeout":
            self.how, self.status = ("signalled", -code) if code < 0 else ("exited", code)

    def message(self) -> protocol.Message:
        return {
            "how": self.how,
            "status": self.status,
            "answer": np.frombuffer(bytes(self.answer.data) if self.how == "answered" else b"", dtype="u1"),
            "printed": np.frombuffer(bytes(self.printed), dtype="u1"),
        }


def run_in_fork(request: protocol.Message, private: tuple[int, ...], confined: bool) -> Ended:
    """Answer a request in a fork that has lost the file descriptors ``private``.

    Args:
        confined: this is the first process of the namespaces of ``confinement.enter``.
    """
    answer_in, answer_out = os.pipe()
    printed_in, printed_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for descriptor in (*private, answer_in, printed_in):
                os.close(descriptor)
            redirect_standard_streams(printed_out)
            limit(request)
            if confined:
                os.chdir("/tmp")
                limit_processes()
                confinement.give_up_rights()
            write_all(answer_out, call.answer(request))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(answer_out)
    os.close(printed_out)
    ended = Ended()
    try:
        _watch(ended, pid, answer_in, printed_in, request, confined)
    finally:
        os.close(answer_in)
        os.close(printed_in)
    return ended


def _watch(ended: Ended, pid: int, answer_in: int, printed_in: int, request: protocol.Message, confined: bool) -> None:
    """Collect a child's answer and output, then end it. Its exit counts only once its pipes are empty."""
    deadline = time.monotonic() + request["timeout"]
    baseline = confinement.own_memory() if confined else 0
    status, weighed = None, time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(answer_in, selectors.EVENT_READ, ended.keep_answer)
        selector.register(printed_in, selectors.EVENT_READ, ended.keep_printed)
        while ended.how == "timeout" and time.monotonic() < deadline:
            read_something = _read_ready(selector, timeout=TICK)
            if status is None:
                finished, code = os.waitpid(pid, os.WNOHANG)
                status = os.waitstatus_to_exitcode(code) if finished else None
            elif not read_something:
                ended.died(status)
            if confined and ended.how == "timeout" and time.monotonic() > weighed + TICK:  # even while it prints
                weighed = time.monotonic()
                if confinement.memory_in_use(baseline, request["memory"]) > request["memory"]:
                    ended.how = "memory"
        if confined:
            confinement.clear()
        else:
            _kill(pid, reaped=status is not None)
            confinement.end_descendants()
        _read_ready(selector, timeout=0)  # what was printed last


def _read_ready(selector: selectors.BaseSelector, timeout: float) -> bool:
    """Hand over what can be read now, a pipe at a time; whether there was anything."""
    found = False
    if not selector.get_map():
        time.sleep(timeout)
        return False
    for key, _ in selector.select(timeout):
        piece = os.read(key.fd, 1 << 20)
        if piece:
            found = True
            key.data(piece)
        else:
            selector.unregister(key.fd)
    return found


def _kill(pid: int, reaped: bool) -> None:
    """Kill a child and the processes of its session."""
    for kill, number in ((os.killpg, pid), (os.kill, pid)):
        try:
            if kill is os.killpg or not reaped:
                kill(number, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # gone, or the group not made yet
    if not reaped:
        os.waitpid(pid, 0)


def run_in_fresh_process(request: protocol.Message, script: str) -> Ended:
    """Answer a request in a new interpreter: the same results, after one more import of torch."""
    process = subprocess.Popen(
        [sys.executable, "-E", "-P", script, ONCE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,  # ignored on Windows
    )
    ended, loaded, over = Ended(), threading.Event(), threading.Event()

    def collect(piece_of: Callable[[], bytes], keep: Callable[[bytes], None]) -> None:
        while ended.how == "timeout" and (piece := piece_of()):
            keep(piece)
        over.set()

    def collect_answer() -> None:
        loaded_byte = process.stdout.read(1)
        loaded.set()
        if loaded_byte:
            collect(lambda: process.stdout.read(1 << 20), ended.keep_answer)
        over.set()

    def collect_printed() -> None:
        while piece := process.stderr.read(1 << 16):
            ended.keep_printed(piece)

    threads = [threading.Thread(target=target, daemon=True) for target in (collect_answer, collect_printed)]
    for thread in threads:
        thread.start()
    loaded.wait(START)
    try:
        process.stdin.write(protocol.encode(request))
    except OSError:
        pass  # it has died; its exit code says how
    over.wait(request["timeout"])
    if ended.how == "timeout" and over.is_set():
        ended.died(process.wait())
    if hasattr(os, "killpg") and process.poll() is None:
        _kill(process.pid, reaped=False)
    else:
        process.kill()
    threads[1].join(timeout=1)
    return ended


def answer_once() -> None:
    """What a fresh process does: say that torch is loaded, read one request, answer it."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    redirect_standard_streams(2)
    write_all(answers, b"\0")
    request = protocol.read(requests)
    requests.close()
    limit(request)
    write_all(answers, call.answer(request))
    os._exit(0)


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
    """Limit this process where the system can: ``request["memory"]`` bytes more than now, processor time, files."""
    if resource is None:
        return
    try:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # no /proc: macOS, which maps far more than it uses
        used = 32 << 30
    _lower(resource.RLIMIT_AS, used + request["memory"])
    _lower(resource.RLIMIT_CPU, int(request["timeout"]) * 4 + 10)
    _lower(resource.RLIMIT_CORE, 1)  # at 0, a system that hands crashes to a program still does
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_FSIZE, FILE_SIZE)


def limit_processes() -> None:
    """Limit how many processes the user of this one may have."""
    _lower(resource.RLIMIT_NPROC, PROCESSES)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):
        pass  # a system without this limit


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of an answer, after what was printed; student code may have closed or replaced that stream."""
    try:
        sys.stdout.flush()
    except BaseException:
        pass
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
