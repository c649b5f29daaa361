"""What an attack is, and the submission that it becomes.

A submission is the solved ``rope.py`` (or one with a mistake in it) with an attack added. Code of an attack can use

    rotated     what the code it is added to answers                 (in ``call``)
    query, key  the inputs                                           (in ``call``)
    attempt     ``attempt("what", function, ...)`` notes it if the function gives anything but an error, -1 or nothing;
                what is noted fails the call, so that an attack that is graded like the code it is added to got nowhere
    libc        the C library
    OUTSIDE     a folder on the host, with a gradebook, another submission and more
    PROJECT     this project on the host
    PORT, NAME  a TCP and UDP port and an abstract Unix socket on which the host listens
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from autograder import editions

EDITION = editions.load("mmia")
SOLVED = EDITION.files  # the folder of the solved tree
RIGHT = (SOLVED / "rope.py").read_text("utf-8")
WRONG = RIGHT.replace("pairs * turns)", "pairs * turns.conj())")  # turns the wrong way: right at position 0 only
PARTIAL = 3.75  # its points, of 15, in the tests that arena.py chooses

TOOLS = """

import builtins, ctypes, gc, io, json, mmap, re, resource, signal, socket, struct, subprocess, threading, time
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
{host}
REACHED = []


def attempt(what, function, *arguments):
    try:
        result = function(*arguments)
    except (NameError, TypeError):
        raise  # a mistake in the attack
    except BaseException:
        return None
    if result != -1 and not (isinstance(result, (bytes, str, list, tuple, dict, set)) and not result):
        REACHED.append(f"{{what}}: {{str(result)[:60]}}")
    return result


honest = apply_rotary_emb


def apply_rotary_emb(query, key, head_dim, max_seq_len, theta=10000.0):
    rotated = honest(query, key, head_dim, max_seq_len, theta)
{call}
    if REACHED:
        raise AssertionError(f"REACHED {{REACHED}}")
    return rotated


{top}
"""


@dataclass(frozen=True)
class Attack:
    """One submission that does not play fair, and what it deserves.

    Args:
        group: number in the list of groups, of ``groups.py``.
        name: what is tried.
        call: runs in every call of ``apply_rotary_emb``; it may return something of its own.
        top: runs when the file is imported, after everything else in it.
        over: the code it is added to.
        outcome: of every test that does not pass (after a timeout the rest is not run), or empty: graded to the byte
            like the code it is added to.
        points: what is earned, where there is an outcome.
        says: words of the feedback.
        beside: other files in its folder.
        seconds: limit of a call; those that hang have a short one.
        control: without the sandbox it gets somewhere, so that its code is known to be able to.
    """

    group: int
    name: str
    call: str = ""
    top: str = ""
    over: str = RIGHT
    outcome: str = ""
    points: float = 0.0
    says: str = ""
    beside: Mapping[str, str | bytes] = field(default_factory=dict)
    seconds: float = 10.0
    control: bool = False

    def files(self, host: Mapping[str, object]) -> dict[str, bytes]:
        """The submission's files.

        Args:
            host: what the attack is told of the host, by name.
        """
        known = "\n".join(f"{name} = {value!r}" for name, value in host.items())
        call = textwrap.indent(textwrap.dedent(self.call).strip("\n"), "    ")
        text = self.over + TOOLS.format(host=known, call=call, top=textwrap.dedent(self.top).strip("\n"))
        files = {"rope.py": text, **self.beside}
        return {name: data if isinstance(data, bytes) else data.encode() for name, data in files.items()}
