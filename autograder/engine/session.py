"""The grading side of a worker: starts it, sends it inputs, and makes sense of what comes back."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autograder import trust
from autograder.editions import Options
from autograder.intake.submission import Submission, module_of
from autograder.worker import plain, protocol
from llamalab import text
from llamalab.errors import UserError

WORKER = trust.CODE / trust.WORKER / "main.py"
PLAIN_COMMAND = (sys.executable, "-E", "-P", str(WORKER))
KINDS = ("todo", "import_error", "memory", "bad_answer", "error")
MODULE = "<module>"  # what Python calls the code of a file outside of functions
STACK_LINE = re.compile(r'^  File "([^"\n]{1,100})", line (\d{1,7}) in ([^\n]{1,100})$', re.MULTILINE)
KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "HOME", "LANG")
ENVELOPE = protocol.Limits(total=protocol.Limits().total + protocol.Limits().header + (1 << 20))


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Args:
        seconds: of wall time for one case, once torch is loaded.
        memory: bytes beyond what torch itself takes, of all processes that a request has at a time.
        start: seconds that loading torch may take.
        timeouts: requests of one adapter that may begin with a case that runs out of time; others are then not run.
        total: seconds of wall time for all cases of one submission; what comes later is not run.
    """

    seconds: float = 10.0
    memory: int = 1 << 30
    start: float = 120.0
    timeouts: int = 2
    total: float = math.inf


@dataclass(frozen=True)
class CaseLimits:
    """Limits that are part of a question. Zero is the submission's own limit, or none.

    Args:
        seconds: of wall time.
        cpu: seconds of processor time, of all threads: what a solution needs however busy the machine is.
        memory: bytes beyond what torch itself takes.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Answer:
    """What an adapter returned: arrays and plain values, by name. Claims of the student's process, to be compared."""

    outputs: dict[str, Any]
    printed: str = ""


@dataclass(frozen=True)
class Frame:
    """A line of the student's code on the way to an error."""

    file: str
    line: int
    function: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}  {self.function}"


@dataclass(frozen=True)
class Fault:
    """A case without an answer.

    ``kind`` is ``todo``, ``error``, ``import_error``, ``timeout``, ``slow`` (over the time that the question itself
    allows), ``memory``, ``crashed``, ``bad_answer`` or ``not_run``.
    """

    kind: str
    message: str
    frames: tuple[Frame, ...] = ()
    printed: str = ""


class Session:
    """A running worker. Starts at once and does not wait: torch loads while the caller goes on.

    It serves any number of submissions, one after the other, each in processes that know nothing of the others.

    Args:
        limits: of a submission.
        command: starts the worker, in a sandbox for instance; this Python and no sandbox if not given.
        seen_as: where the worker sees a file of ``trust.of_worker``; where it is, if not given.
    """

    def __init__(
        self,
        limits: Limits = Limits(),
        command: Sequence[str] = PLAIN_COMMAND,
        seen_as: Callable[[str, Path], str] = lambda name, path: str(path),
    ) -> None:
        self.limits = limits
        self._command, self._seen_as = list(command), seen_as
        self._folder = tempfile.TemporaryDirectory(prefix="llamalab-")
        self._process: subprocess.Popen | None = None
        self._submission: Submission | None = None
        self._sources: dict[str, bytes] = {}
        self._used, self._timeouts, self._stuck = 0.0, Counter(), set()
        self._ready = self._answered = False
        self._start()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker. Calling it twice does no harm."""
        self._stop()
        self._folder.cleanup()

    def call(
        self,
        submission: Submission,
        component: str,
        inputs: Mapping[str, Any],
        options: Options | None = None,
        limits: CaseLimits = CaseLimits(),
    ) -> Answer | Fault:
        """Run a component's adapter on a submission's code, in a process of its own.

        Args:
            inputs: arrays and plain values, by name.
            options: of the adapter.
            limits: of the case, where they are not the session's.

        Raises:
            UserError: the worker itself does not start.
        """
        return self.calls(submission, component, [inputs], options, limits)[0]

    def calls(
        self,
        submission: Submission,
        component: str,
        cases: Sequence[Mapping[str, Any]],
        options: Options | None = None,
        limits: CaseLimits = CaseLimits(),
    ) -> list[Answer | Fault]:
        """Run an adapter on several inputs in one process, which is several times faster than a process for each.

        The student's modules are run anew for each, but what else one of them changed is there for the next. Returns
        the results up to the first case that ended the process or ran out of time: at least one, and only the first is
        as good as a ``call``.
        """
        allowed = replace(
            self.limits,
            seconds=limits.seconds or self.limits.seconds,
            memory=limits.memory or self.limits.memory,
        )
        self._turn_to(submission)
        if reason := self._exhausted(component):
            return [Fault("not_run", f"not run: {reason}")]
        request = self._request(submission, component, len(cases), options or {}, allowed, limits.cpu)
        cases = [{name: _to_send(value) for name, value in case.items()} for case in cases]
        self._wait_until_ready()
        results: list[Answer | Fault] = []
        before = time.monotonic()
        for ended in self._exchange(request, cases, allowed.seconds + self.limits.start):
            self._used, before = self._used + time.monotonic() - before, time.monotonic()
            results.append(_understand(ended, allowed, limits, request["student"].values()))
            if self._used > self.limits.total and len(results) < len(cases):
                self._stop()
                break
        results = results or [Fault("crashed", "it took the process that watches it down with it")]
        if isinstance(results[0], Fault) and results[0].kind == "timeout":
            self._timeouts[component] += 1
            self._stuck |= {frame.file for frame in results[0].frames if frame.function == MODULE}
        return results

    def _request(
        self, submission: Submission, component: str, cases: int, options: Options, allowed: Limits, cpu: float
    ) -> protocol.Message:
        edition = submission.edition
        provided = {f"provided/{name}": edition.files / name for name in edition.provided_files}
        return {
            "components": self._seen_as(trust.below(edition, edition.component_folder), edition.component_folder),
            "component": component,
            "options": dict(options),
            "student": submission.student,
            "provided": {
                "llamalab": self._seen_as(trust.RUNTIME, trust.CODE / trust.RUNTIME),
                **{module_of(path.name): self._seen_as(name, path) for name, path in provided.items()},
            },
            "timeout": allowed.seconds,
            "cpu": cpu,
            "memory": allowed.memory,
            "cases": cases,
            "stuck": sorted(self._stuck),
            **{protocol.SOURCE + name: np.frombuffer(code, dtype="u1") for name, code in self._sources.items()},
        }

    def _exhausted(self, component: str) -> str:
        """Why a submission gets no more calls of a component; empty if it does."""
        if self._timeouts[component] >= self.limits.timeouts:
            return f"{self._timeouts[component]} cases before this one took longer than {self.limits.seconds:g} s"
        if self._used > self.limits.total:
            return f"everything before this took {self._used:.0f} s, and {self.limits.total:g} s are allowed"
        return ""

    def _turn_to(self, submission: Submission) -> None:
        """Have the worker forget the submission before, if it was another."""
        if submission is self._submission or (self._submission and submission.files == self._submission.files):
            return
        self._submission, self._sources = submission, submission.sources
        self._used, self._timeouts, self._stuck = 0.0, Counter(), set()
        if self._process is not None and self._answered and self._send({"end": True}):
            self._ready = self._answered = False
            if self._receive(self.limits.start) == {"ready": True}:
                self._ready = True
            else:
                self._stop()

    def _start(self) -> None:
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=self._folder.name,
            env=environment,
            start_new_session=True,  # Ctrl-C at the terminal is for the grading process to act on
        )
        self._ready = False

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._errors.close()
            self._process = None

    def _wait_until_ready(self) -> None:
        if self._process is None:
            self._start()
        if not self._ready:
            if self._receive(self.limits.start) != {"ready": True}:
                raise UserError(f"the grading worker did not start: {self._last_error()}")
            self._ready = True

    def _exchange(
        self, request: protocol.Message, cases: Sequence[protocol.Message], patience: float
    ) -> Iterator[dict[str, Any]]:
        """Send a request and its cases, and receive how each ended, up to the first that was not answered.

        There is no worker any more if it fails at that.
        """
        if not self._send(request, *cases):
            return
        for _ in cases:
            ended = self._receive(patience)
            self._answered = ended is not None
            if ended is None:
                self._stop()
                return
            yield ended
            if ended.get("how") != "answered":
                return

    def _send(self, *messages: protocol.Message) -> bool:
        """Send messages; False, and no worker any more, if it cannot be reached."""
        try:
            self._process.stdin.write(b"".join(map(protocol.encode, messages)))
            self._process.stdin.flush()
        except OSError:
            self._stop()
            return False
        return True

    def _receive(self, patience: float) -> dict[str, Any] | None:
        """The worker's next message, or None: it died, talks nonsense, or was killed after ``patience`` seconds."""
        watchdog = threading.Timer(patience, self._process.kill)
        watchdog.start()
        try:
            return protocol.read(self._process.stdout, ENVELOPE)
        except (EOFError, protocol.ProtocolError, OSError):
            return None
        finally:
            watchdog.cancel()

    def _last_error(self) -> str:
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        lines = text.plain(self._errors.read()[-4000:]).strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"


def _to_send(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) else plain.encode(value)


def _understand(ended: Mapping[str, Any], limits: Limits, own: CaseLimits, files: Collection[str]) -> Answer | Fault:
    """An answer or a fault, from the worker's description of how a case ended. Believes nothing it cannot check.

    Args:
        limits: that the case was run with.
        own: those among them that belong to the question: to be over these is an answer, and says nothing of others.
        files: names of the student's.
    """
    how, status = ended.get("how"), ended.get("status")
    answer, printed, stack = ended.get("answer"), ended.get("printed"), ended.get("stack")
    if not (all(isinstance(part, np.ndarray) for part in (answer, printed, stack)) and type(status) is int):
        return Fault("crashed", "the worker's message makes no sense")
    said = text.plain(printed.tobytes())
    if how in ("timeout", "cpu"):
        place = _outermost(text.plain(stack.tobytes()), files)
        allowed = f"{limits.seconds:g} s" if how == "timeout" else f"{own.cpu:g} s of work"
        kind = "slow" if how == "cpu" or own.seconds else "timeout"
        return Fault(kind, f"no answer within {allowed}{_still(place)}", (place,) if place else (), said)
    if how == "memory":
        return Fault("memory", _memory_words(limits), printed=said)
    if how == "signalled":
        return Fault("crashed", f"killed by {_signal_name(status)}", printed=said)
    if how == "exited":
        return Fault("crashed", f"the process ended itself with status {status} before it answered", printed=said)
    if how != "answered":
        return Fault("bad_answer", "the answer is too large or malformed", printed=said)
    try:
        message = protocol.decode(answer.tobytes())
        if message.get("kind") == "answer":
            names = [name for name in message if name.startswith(protocol.OUTPUT)]
            return Answer({name[len(protocol.OUTPUT) :]: _received(message[name]) for name in names}, said)
    except (protocol.ProtocolError, plain.NotPlain, RecursionError) as error:
        return Fault("bad_answer", f"the answer is malformed: {text.plain(str(error))}", printed=said)
    return _fault(message, said, limits)


def _received(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) else plain.decode(value)


def _outermost(stack: str, files: Collection[str]) -> Frame | None:
    """The outermost of the student's functions in what ``faulthandler`` wrote, most recent first, main thread last."""
    found = [match.groups() for match in STACK_LINE.finditer(stack)]
    mine = [(file, line, function) for file, line, function in found if file in files]
    return Frame(mine[-1][0], int(mine[-1][1]), mine[-1][2], "") if mine else None


def _still(place: Frame | None) -> str:
    """Where a case was when its time was over. Not the line: in a loop that is another one each time."""
    if place is None:
        return ""
    if place.function == MODULE:
        return f": {place.file} was still being imported; something outside of its functions takes too long"
    return f": it was still in {place.function} of {place.file}"


def _memory_words(limits: Limits) -> str:
    return f"needs more than {limits.memory >> 20} MB of memory"


def _fault(message: Mapping[str, Any], printed: str, limits: Limits) -> Fault:
    kind, words, frames = message.get("kind"), message.get("message"), message.get("frames")
    if kind not in KINDS or not isinstance(words, str) or not isinstance(frames, list):
        return Fault("bad_answer", "the answer is malformed", printed=printed)
    if kind == "memory":
        words = _memory_words(limits)
    return Fault(kind, text.plain(words[:1000]), tuple(filter(None, map(_frame, frames[:10]))), printed)


def _frame(entry: Any) -> Frame | None:
    if not isinstance(entry, list) or [type(part) for part in entry] != [str, int, str, str]:
        return None
    file, line, function, source = entry
    return Frame(text.plain(file[:100]), line, text.plain(function[:100]), text.plain(source[:200]))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
