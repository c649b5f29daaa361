"""Worker side: one module a component, which turns inputs into calls of the student's code.

Each has

    MODULES      the student modules that it runs; others become stand-ins
    AXES         output name -> what its axes are called, for feedback
    run(submission, inputs) -> outputs    tensors and plain JSON, by name
    preload()    optional: make torch import now what it would import late, once for all forks
"""

from __future__ import annotations

from typing import Any

from autograder.call import BadAnswer


def unpack(value: Any, names: tuple[str, ...], function: str) -> dict[str, Any]:
    """The parts of a returned tuple or list, by name.

    Raises:
        BadAnswer: something else was returned.
    """
    if not isinstance(value, (tuple, list)) or len(value) != len(names):
        what = f"{len(value)} values" if isinstance(value, (tuple, list)) else type(value).__name__
        raise BadAnswer(f"{function} returned {what}; ({', '.join(names)}) was expected")
    return dict(zip(names, value, strict=True))
