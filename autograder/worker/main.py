"""The process that runs student code: ``python main.py``, started and spoken to by ``session.Session``.

It reads requests and their cases from its standard input, writes results to its standard output
(``protocol``), and runs each request in a process of its own (``processes``). It never imports student code itself,
never knows an expected value or a point, and decides nothing.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import BinaryIO

ROOT = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, ROOT)
sys.dont_write_bytecode = True
import torch  # noqa: E402  loaded once, for every fork

from autograder.worker import components, confinement, processes, protocol  # noqa: E402
from autograder.worker.options import COMPONENTS, CONFINED, OTHER_USER, PRELOAD  # noqa: E402

sys.path.remove(ROOT)  # or `import llama` could find this tree's own

OVER = 3  # exit status of a process that has seen the stream end


def serve_submissions(requests: BinaryIO, results: BinaryIO, confined: bool) -> int:
    """Fork a process for each submission; the exit status of the first that does not end as it should.

    What a submission answered must not lie in the memory that the next one's processes are forked from.
    """
    while True:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                if confined:
                    confinement.enter()
                else:
                    confinement.adopt_orphans()
                    confinement.hide()
                status = serve(requests, results, confined)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        _, code = os.waitpid(pid, 0)
        if code != 0:
            return os.waitstatus_to_exitcode(code)


def serve(requests: BinaryIO, results: BinaryIO, confined: bool) -> int:
    """Say that torch is loaded, then answer requests: 0 at the end of a submission, ``OVER`` at that of the stream."""
    _send(results, {"ready": True})
    prepared: set[str] = set()
    while True:
        try:
            request = protocol.read(requests)
        except EOFError:
            return OVER
        if "end" in request:
            return 0
        cases = [protocol.read(requests) for _ in range(request["cases"])]
        if request["component"] not in prepared:
            prepared.add(request["component"])
            _prepare(request["components"], request["component"])
        for ended in processes.run_in_fork(request, cases, (requests.fileno(), results.fileno()), confined):
            _send(results, ended.message())


def _send(results: BinaryIO, message: protocol.Message) -> None:
    results.write(protocol.encode(message))
    results.flush()


def _prepare(folder: str, component: str) -> None:
    """Import an adapter, and what it says torch would otherwise import late, before the first fork that needs it."""
    adapter = components.load(Path(folder), component, "adapter")
    if hasattr(adapter, "preload"):
        adapter.preload()


def main(arguments: list[str]) -> int:
    torch.set_num_threads(1)
    del sys.argv[1:]  # student code may read its own arguments when it is imported
    requests, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    processes.redirect_standard_streams(2)
    if CONFINED in arguments:
        confinement.leave_root()
    if OTHER_USER in arguments:
        processes.limit_processes()
        confinement.wall_in()
    folder = ""
    for argument in arguments:
        if argument.startswith(COMPONENTS):
            folder = argument.removeprefix(COMPONENTS)
        if argument.startswith(PRELOAD):
            _prepare(folder, argument.removeprefix(PRELOAD))
    return serve_submissions(requests, results, CONFINED in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
