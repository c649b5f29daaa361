"""What stands between a submission and this machine: how a worker is started for code that nobody trusts.

``bubblewrap``
    A sandbox: no network, nothing of the system writable, only Python, its packages and the worker's own files visible,
    no capabilities, an empty environment, processes that see only each other. ``confinement`` puts walls around every
    submission inside it. References, gradebook, other submissions and the instructor's files are not there at all.
``user``
    For root where there is no bubblewrap, as in Gradescope's containers: a user without rights and without network. It
    can read what everybody can read, and what it writes to the system's shared folders stays (``other_user``).
``process``
    A process of its own with limits on time and memory, as in a student's own ``check``. It can read what the user can
    read, and reach the network.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from autograder import trust
from autograder.classroom.other_user import OtherUserSession
from autograder.editions import Edition
from autograder.engine.claims import Limits
from autograder.engine.session import PLAIN_COMMAND, Session
from autograder.worker.options import COMPONENTS, CONFINED, OTHER_USER, PRELOAD
from llamalab.errors import UserError

KINDS = ("bubblewrap", "user", "process")
ADVICE = (
    "Install bubblewrap (Debian, Ubuntu: apt install bubblewrap) on a Linux that allows user namespaces and see "
    "`python -m autograder doctor`, or take --isolation=process if you trust every submission"
)

PROJECT, ENVIRONMENT = Path("/project"), Path("/environment")  # where the sandbox has these folders
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
LIBRARY_CACHE = "/etc/ld.so.cache"
VARIABLES = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "USER": "student",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONHASHSEED": "0",
}


def session(kind: str, edition: Edition, components: Iterable[str], limits: Limits | None = None) -> Session:
    """Start a worker.

    Args:
        kind: one of ``KINDS``.
        components: whose adapters are loaded at once, rather than for every submission anew.

    Raises:
        UserError: there is no bubblewrap, no user ``student``, or no such kind.
    """
    limits = limits or Limits()
    name, preload = trust.below(edition, edition.component_folder), [PRELOAD + component for component in components]
    if kind == "process":
        return Session(limits, [*PLAIN_COMMAND, f"{COMPONENTS}{edition.component_folder}", *preload])
    if kind == "user":
        return OtherUserSession(limits, trust.of_worker(edition), VARIABLES, name, [OTHER_USER, *preload])
    if kind != "bubblewrap":
        raise UserError(f"there is no isolation {kind!r}; there are {', '.join(KINDS)}")
    command = [*sandbox(edition), CONFINED, f"{COMPONENTS}{PROJECT / name}", *preload]
    return Session(limits, command, lambda name, path: str(PROJECT / name))


def sandbox(edition: Edition) -> list[str]:
    """The command that starts a worker in bubblewrap.

    Raises:
        UserError: bubblewrap is not installed, or this is not Linux.
    """
    program = shutil.which("bwrap")
    if program is None or sys.platform != "linux":
        raise UserError(f"untrusted code needs bubblewrap, which is not here. {ADVICE}")
    python = ENVIRONMENT / Path(sys.executable).relative_to(sys.prefix)
    return [
        program,
        *("--die-with-parent", "--new-session", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--hostname", "sandbox", "--clearenv"),
        *(part for name, value in VARIABLES.items() for part in ("--setenv", name, value)),
        *_user(),
        *("--dev", "/dev", "--tmpfs", "/tmp"),
        *_read_only(edition),
        *_without(edition.forbidden_imports if edition.forbidden_cost == 1 else ()),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"),
        *(str(python), "-E", "-P", str(PROJECT / trust.WORKER / "main.py")),
    ]


def _user() -> Sequence[str]:
    """Nobody inside. A namespace of root's would still be root outside, so the worker itself leaves root behind."""
    if os.geteuid() == 0:
        return ("--dir", "/proc")  # the worker mounts it: bubblewrap's, made by root, could not be mounted again
    return ("--unshare-user", "--uid", "65534", "--gid", "65534", "--proc", "/proc")


def _read_only(edition: Edition) -> Iterator[str]:
    """Arguments that show the system's libraries, Python, its packages, and the files a worker needs."""
    shown = {Path(folder): folder for folder in SYSTEM if os.path.isdir(folder) and not os.path.islink(folder)}
    if os.path.exists(LIBRARY_CACHE):
        shown[Path(LIBRARY_CACHE)] = LIBRARY_CACHE
    base = os.path.realpath(sys.base_prefix)
    if not any(Path(base).is_relative_to(folder) for folder in shown):
        shown[Path(base)] = base
    shown[ENVIRONMENT] = sys.prefix
    for name, path in trust.of_worker(edition).items():
        shown[PROJECT / name] = str(path)
    for folder in SYSTEM:
        if os.path.islink(folder):
            yield from ("--symlink", os.readlink(folder), folder)
    for folder in dict.fromkeys(parent for target in shown for parent in reversed(target.parents)):
        yield from ("--perms", "0755", "--dir", str(folder))
    for target, source in shown.items():
        yield from ("--ro-bind", source, str(target))


def _without(packages: Iterable[str]) -> Iterator[str]:
    """Arguments that hide packages which no submission may import: one can import without it showing."""
    seen = (*SYSTEM, os.path.realpath(sys.base_prefix))
    for name in packages:
        spec = importlib.util.find_spec(name)
        for folder in map(Path, (spec and spec.submodule_search_locations) or ()):
            places = [folder] if any(folder.is_relative_to(other) for other in seen) else []
            if folder.is_relative_to(sys.prefix):
                places.append(ENVIRONMENT / folder.relative_to(sys.prefix))
            for place in map(str, places):
                yield from ("--tmpfs", place, "--remount-ro", place)
