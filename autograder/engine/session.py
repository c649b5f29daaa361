"""The grading side of a worker: starts it, sends it inputs, and makes sense of what comes back."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autograder import trust
from autograder.editions import Options
from autograder.engine.claims import MODULE, NO_LIMITS, USUAL_LIMITS, Answer, CaseLimits, Fault, Limits, understood
from autograder.intake.submission import Submission, module_of
from autograder.worker import plain, protocol
from llamalab import text
from llamalab.errors import UserError

WORKER = trust.CODE / trust.WORKER / "main.py"
PLAIN_COMMAND = (sys.executable, "-E", "-P", str(WORKER))
KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "HOME", "LANG")
ENVELOPE = protocol.MessageLimits(total=protocol.MessageLimits().total + protocol.MessageLimits().header + (1 << 20))


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
        limits: Limits = USUAL_LIMITS,
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
        limits: CaseLimits = NO_LIMITS,
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
        limits: CaseLimits = NO_LIMITS,
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
            results.append(understood(ended, allowed, limits, request["student"].values()))
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
        known = self._submission
        if known and (submission.edition.path, submission.files) == (known.edition.path, known.files):
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


def processors() -> int:
    """How many this process may use, and so how many sessions are worth having at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _to_send(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) else plain.encode(value)
