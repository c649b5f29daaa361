"""What a worker claims of a case, made into an answer or a fault. Nothing is believed that cannot be checked."""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograder.worker import plain, protocol
from llamalab import text

KINDS = ("todo", "import_error", "memory", "bad_answer", "error")
MODULE = "<module>"  # what Python calls the code of a file outside of functions
STACK_LINE = re.compile(r'^  File "([^"\n]{1,100})", line (\d{1,7}) in ([^\n]{1,100})$', re.MULTILINE)


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


USUAL_LIMITS, NO_LIMITS = Limits(), CaseLimits()


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


def understood(ended: Mapping[str, Any], limits: Limits, own: CaseLimits, files: Collection[str]) -> Answer | Fault:
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
            outputs = protocol.named(message, protocol.OUTPUT)
            return Answer({name: _received(value) for name, value in outputs.items()}, said)
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
