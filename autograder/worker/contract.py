"""What an adapter may use. It is the part of a component that runs beside student code, and knows no answer.

``courses/COURSE/components/NAME/adapter.py`` has

    MODULES      the student modules that it runs; others become stand-ins
    AXES         output name -> what its axes are called, for feedback
    OPTIONS      option name -> the values an edition may give it; the first is taken where it is silent
    run(submission, inputs, options) -> outputs    tensors and plain values, by name
    preload()    optional: make torch import now what it would import late, once for all forks

``OPTIONS`` may be left out. Plain values are None, bool, int, float, str, bytes, and lists, tuples and dicts of them.
"""

from __future__ import annotations

from typing import Any

from autograder.worker.student_modules import StudentModules

__all__ = ["BadAnswer", "StudentModules", "unpack"]


class BadAnswer(Exception):
    """What the student's code returned cannot be compared; the message says what it is and what was expected."""


def unpack(value: Any, names: tuple[str, ...], function: str) -> dict[str, Any]:
    """The parts of a returned tuple or list, by name.

    Raises:
        BadAnswer: something else was returned.
    """
    if not isinstance(value, (tuple, list)) or len(value) != len(names):
        what = f"{len(value)} values" if isinstance(value, (tuple, list)) else type(value).__name__
        raise BadAnswer(f"{function} returned {what}; ({', '.join(names)}) was expected")
    return dict(zip(names, value, strict=True))
