"""What benchmarks share: a new process for each case, ratios to the peer's figures, and what they were measured on."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from llamalab.evaluation.results import processor

PEER = "transformers"


class Process(ProcessPoolExecutor):
    """A process for one case, a new Python that has nothing of this one's memory. Leaving the context ends it.

    Args:
        begin: called there first, with ``arguments``; nothing, if not given.
    """

    def __init__(self, case: str, threads: int, begin: Callable | None = None, *arguments: Any) -> None:
        os.environ.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))  # read when torch is loaded
        super().__init__(1, multiprocessing.get_context("spawn"), begin, arguments)
        self._case = case

    def call(self, function: Callable, *arguments: Any) -> Any:
        """What a function of a module returns there; this process ends with a sentence if that one has died."""
        try:
            return self.submit(function, *arguments).result()
        except BrokenProcessPool:
            sys.exit(f"the case {self._case!r} ended; see above, or name fewer --cases if it was out of memory")


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def add_ratios(figures: dict[str, dict[str, float]], names: Iterable[str]) -> None:
    """Beside each case's figures of these names, how many times the peer's they are, if the peer was run."""
    if peer := figures.get(PEER):
        for figure in figures.values():
            figure |= {f"{name}_ratio": round(figure[name] / peer[name], 2) for name in names}


def measured_on(threads: int) -> dict[str, Any]:
    """The end of a report."""
    return {"threads": threads, "hardware": f"{processor()}, {os.cpu_count()} cores", "torch": torch.__version__}
