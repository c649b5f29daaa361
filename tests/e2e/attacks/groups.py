"""The groups of attacks, and how each is met: ``python -m tests.e2e.attacks.groups`` prints the table of the README.

What cannot apply, or is shown elsewhere:

- No graphics card is visible inside a sandbox (a case of group 22 looks), so none can be held.
- There is no Docker socket inside; group 20 calls it.
- There is no learning platform; its archives are files. Names, links, bombs and devices in them are refused before
  anything runs (``tests/unit/test_grading_intake_hostile.py``, and the class of ``test_hostile_class.py``). Formulas
  and markup are the reports' to escape, and in their tests.
- Timing of the page cache, and asking for one bit of the answer with each resubmission, need no way out of the sandbox
  and are not prevented by it. Every run of a class draws inputs of its own: there is no answer to ask for.
"""

from __future__ import annotations

from collections import Counter

from tests.e2e.attacks import exits, forging, privilege, resources, stealing, tampering, values
from tests.e2e.attacks.attack import PARTIAL, RIGHT, Attack
from tests.e2e.attacks.test_honest import BROKEN, FINE

MODULES = (forging, exits, tampering, values, stealing, resources, privilege)
ATTACKS: list[Attack] = [attack for module in MODULES for attack in module.ATTACKS]

GROUPS = {
    1: "print results, floods, escapes, markup and messages of the worker",
    2: "write, link and watch results, also after the end of the call",
    3: "hooks that run late: atexit, `__del__`, threads, tracing, audit",
    4: "write to, copy or close the channel of the answer; odd scores",
    5: "objects that run code when they are unpickled or asked what they are",
    6: "`SystemExit` and its kin in a call, at import, in an attribute",
    7: "`_exit`, abort, signals to everybody, segmentation fault, stack overflow",
    8: "pytest's and unittest's skip, exit and expected failure",
    9: "conftest, pytest.ini, sitecustomize, .pth beside the submission; variables",
    10: "modules and compiled files with the names of others",
    11: "replace graders and adapters, from beside and from inside",
    12: "patch torch, NumPy, json, builtins, the worker itself",
    13: "look for pytest, replace or close `sys.stdout`",
    14: "objects that equal everything, tensor subclasses, lazy ones",
    15: "NaN, empty, broadcasting, wrong types; right values in odd tensors",
    16: "return or change inputs, keep answers, change torch's global state",
    17: "remember calls, guess who grades; a table of public answers earns 0",
    18: "read graders, answers, other submissions, processes, memory, variables",
    19: "frames, objects, imports of the grader or of forbidden packages",
    20: "TCP, UDP, DNS, Unix sockets, every address family",
    21: "endless loops that ignore signals, deadlocks, slowing the watcher",
    22: "memory, processes, threads, files, sockets, disk without end",
    23: "leave processes, files, caches, limits behind",
    24: "mounts, namespaces, user ids, devices, 40 system calls, pip, cron",
    25: "source that a reader runs or chokes on",
    26: "honest: broken (its own component pays), odd, slow",
}

SAME = "as without it"


def table() -> str:
    """One row a group: how many attacks, how their tests end, points of 15."""
    ends = {number: Counter() for number in GROUPS}
    for attack in ATTACKS:
        ends[attack.group][attack.outcome or SAME, _points(attack)] += 1
    for case in (*BROKEN, *FINE):
        ends[26][case.outcome or "pass", f"{case.rope:g}"] += 1
    lines = ["| | what is tried | cases | outcome | points of 15 |", "|---|---|---|---|---|"]
    for number, words in GROUPS.items():
        outcomes = ", ".join(dict.fromkeys(outcome for (outcome, _), _ in ends[number].most_common()))
        points = ", ".join(sorted({points for _, points in ends[number]}, key=float))
        lines.append(f"| {number} | {words} | {ends[number].total()} | {outcomes} | {points} |")
    return "\n".join(lines)


def _points(attack: Attack) -> str:
    """What it earns: without an outcome of its own, as much as the code that it is added to."""
    return f"{attack.points:g}" if attack.outcome else "15" if attack.over == RIGHT else f"{PARTIAL:g}"


if __name__ == "__main__":
    print(table())
