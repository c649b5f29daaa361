"""The process that runs student code: ``python worker.py``, started and spoken to by ``session.Session``.

It reads requests from its standard input, writes results to its standard output (``autograder.protocol``), and runs
each request in a process of its own (``autograder.processes``). It never imports student code itself, never knows an
expected value or a point, and decides nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

ROOT = str(Path(__file__).resolve().parent.parent)
sys.path.insert(0, ROOT)
sys.dont_write_bytecode = True
import torch  # noqa: E402  loaded once, for every fork

from autograder import call, processes, protocol  # noqa: E402

sys.path.remove(ROOT)  # or `import llama` could find this tree's own

NO_FORK = "--no-fork"


def serve(requests: BinaryIO, results: BinaryIO, fork: bool) -> None:
    """Say that torch is loaded, then answer requests until the stream ends."""
    _send(results, {"ready": True})
    prepared: set[str] = set()
    while True:
        try:
            request = protocol.read(requests)
        except EOFError:
            return
        if fork:
            _prepare(request["adapter"], prepared)
            ended = processes.run_in_fork(request, private=(requests.fileno(), results.fileno()))
        else:
            ended = processes.run_in_fresh_process(request, __file__)
        _send(results, ended.message())


def _send(results: BinaryIO, message: protocol.Message) -> None:
    results.write(protocol.encode(message))
    results.flush()


def _prepare(name: str, prepared: set[str]) -> None:
    """Import an adapter, and what it says torch would otherwise import late, before the first fork that needs it."""
    if name not in prepared:
        prepared.add(name)
        adapter = call.load_adapter(name)
        if hasattr(adapter, "preload"):
            adapter.preload()


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    if processes.ONCE in arguments:
        processes.answer_once()
    requests, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    processes.redirect_standard_streams(2)
    serve(requests, results, fork=hasattr(os, "fork") and NO_FORK not in arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
