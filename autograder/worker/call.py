"""Worker side: one case of a request, from its inputs to the bytes of an answer. Whatever happens is an answer."""

from __future__ import annotations

import linecache
import random
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.random  # noqa: F401  NumPy puts it off until it is used, which is in every fork
import torch

from autograder.worker import components, plain, protocol
from autograder.worker.contract import BadAnswer
from autograder.worker.student_modules import ImportFailed, StudentModules


def answer(request: protocol.Message, case: Mapping[str, Any]) -> bytes:
    """Run one case of a request and describe the outcome as an encoded message.

    Its ``kind`` is ``answer``, with the outputs, or that of a fault: todo, import_error, memory, bad_answer or error.
    The student's files are run anew for it; random numbers and what torch does by default are as in a new process.
    """
    try:
        for begin in (random.seed, np.random.seed, torch.default_generator.manual_seed):
            begin(0)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        return protocol.encode({"kind": "answer", **_outputs(request, case)})
    except BaseException as error:
        return _encoded_fault(error, request["student"])


def _outputs(request: protocol.Message, case: Mapping[str, Any]) -> dict[str, Any]:
    adapter = components.load(Path(request["components"]), request["component"], "adapter")
    inputs = {name: _to_input(value) for name, value in case.items()}
    sources = {name: code.tobytes() for name, code in protocol.named(request, protocol.SOURCE).items()}
    stuck = {file: f"{file} was still being imported after {request['timeout']:g} s" for file in request["stuck"]}
    with StudentModules(request["student"], sources, request["provided"], adapter.MODULES, stuck) as submission:
        outputs = adapter.run(submission, inputs, request["options"])
    return {
        protocol.OUTPUT + name: _to_output(name, value, "a tensor" if name in adapter.AXES else "a plain value")
        for name, value in outputs.items()
    }


def _to_input(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else plain.decode(value)


def _to_output(name: str, value: Any, expected: str) -> Any:
    """A tensor as an array; a plain value as JSON.

    Raises:
        BadAnswer: anything else.
    """
    if isinstance(value, torch.Tensor):
        return _to_numpy(name, value)
    try:
        return plain.encode(value)
    except plain.NotPlain as error:
        inside = "" if str(error) == type(value).__name__ else f" with {error} inside"
        raise BadAnswer(f"{name} came back as {type(value).__name__}{inside}; {expected} was expected") from None


def _to_numpy(name: str, tensor: torch.Tensor) -> np.ndarray:
    try:
        tensor = tensor.detach().to("cpu")
        tensor = tensor.to_dense() if tensor.layout != torch.strided else tensor
        tensor = tensor.resolve_conj().resolve_neg().contiguous()
        if tensor.dtype == torch.bfloat16:
            return tensor.view(torch.int16).numpy().view(protocol.DTYPES["bfloat16"])
        return tensor.numpy()
    except Exception as error:
        raise BadAnswer(f"{name} is a tensor that cannot be read: {_text(error)}") from error


def _encoded_fault(error: BaseException, student: Mapping[str, str]) -> bytes:
    try:
        return protocol.encode(_fault(error, student))
    except BaseException:  # an exception made to resist being described
        return protocol.encode({"kind": "error", "message": type(error).__name__, "frames": []})


def _fault(error: BaseException, student: Mapping[str, str]) -> dict[str, Any]:
    message = _text(error)
    kind = "error"
    if isinstance(error, ImportFailed):
        kind, error = "import_error", error.__cause__
        message = _text(error)
    no_memory = isinstance(error, MemoryError) or "can't allocate memory" in message
    if isinstance(error, BadAnswer) and not no_memory:
        return {"kind": "bad_answer", "message": message, "frames": []}
    frames, innermost = _student_frames(error, student)
    if no_memory and (frames or kind == "error"):  # of text that is nested too deeply, the parser says it as well
        kind = "memory"
    elif kind == "error" and isinstance(error, NotImplementedError) and innermost:
        kind = "todo"
    return {"kind": kind, "message": message, "frames": frames}


def _student_frames(error: BaseException, student: Mapping[str, str]) -> tuple[list[list], bool]:
    """[file, line, function, source] of the last frames in the student's files; whether the innermost is one."""
    files = set(student.values())
    stack = traceback.extract_tb(error.__traceback__)
    frames = [
        [frame.filename, frame.lineno or 0, frame.name, (frame.line or "")[:200]]
        for frame in stack
        if frame.filename in files
    ]
    if isinstance(error, SyntaxError) and error.filename in files:
        source = linecache.getline(error.filename, error.lineno or 0).strip()
        frames.append([error.filename, error.lineno or 0, "<module>", source[:200]])
    return frames[-6:], bool(stack) and stack[-1].filename in files


def _text(error: BaseException) -> str:
    """``TypeError: ...``, cut; just the type for an exception whose ``__str__`` fails."""
    name = type(error).__name__
    try:
        detail = error.msg if isinstance(error, SyntaxError) else str(error)
    except BaseException:
        return name
    detail = str(detail)[:1000]
    if isinstance(error, BadAnswer):
        return detail
    return f"{name}: {detail}" if detail else name
