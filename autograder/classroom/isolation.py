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
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
INSTALLED = ("llamalab", "autograder", "__editable__*llamalab*")  # in a folder of packages, the last for `pip -e`
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
    shown = _shown(edition)
    forbidden = edition.forbidden_imports if edition.forbidden_cost == 1 else ()
    return [
        program,
        *("--die-with-parent", "--new-session", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--hostname", "sandbox", "--clearenv"),
        *(part for name, value in VARIABLES.items() for part in ("--setenv", name, value)),
        *_user(),
        *("--dev", "/dev", "--tmpfs", "/tmp"),
        *_read_only(shown),
        *_without(shown, [*_packages(forbidden), *_this_project()]),
        *("--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"),
        *(str(python), "-E", "-P", str(PROJECT / trust.WORKER / "main.py")),
    ]


def _user() -> Sequence[str]:
    """Nobody inside. A namespace of root's would still be root outside, so the worker itself leaves root behind."""
    if os.geteuid() == 0:
        return ("--dir", "/proc")  # the worker mounts it: bubblewrap's, made by root, could not be mounted again
    return ("--unshare-user", "--uid", "65534", "--gid", "65534", "--proc", "/proc")


def _shown(edition: Edition) -> dict[Path, Path]:
    """By where the sandbox has it: the system's libraries, Python, its packages, and the files a worker needs."""
    shown = {Path(folder): Path(folder) for folder in SYSTEM if os.path.isdir(folder) and not os.path.islink(folder)}
    if os.path.exists(LIBRARY_CACHE):
        shown[Path(LIBRARY_CACHE)] = Path(LIBRARY_CACHE)
    shown[ENVIRONMENT] = Path(sys.prefix)
    # A Python beside the system's, and packages beside Python's, as in a user's own folder: where they are.
    for folder in (Path(sys.base_prefix).resolve(), *(path.parent for path in _packages(["torch"]))):
        if not any(folder.resolve().is_relative_to(other.resolve()) for other in shown.values()):
            shown[folder] = folder
    return shown | {PROJECT / name: path for name, path in trust.of_worker(edition).items()}


def _read_only(shown: Mapping[Path, Path]) -> Iterator[str]:
    """Arguments that show files and folders, and with them nothing that lies beside them."""
    for folder in SYSTEM:
        if os.path.islink(folder):
            yield from ("--symlink", os.readlink(folder), folder)
    for folder in dict.fromkeys(parent for target in shown for parent in reversed(target.parents)):
        yield from ("--perms", "0755", "--dir", str(folder))
    for target, source in shown.items():
        yield from ("--ro-bind", str(source), str(target))


def _without(shown: Mapping[Path, Path], hidden: Iterable[Path]) -> Iterator[str]:
    """Arguments that hide files and folders from wherever the sandbox would show them."""
    for path in hidden:
        for target, source in shown.items():
            if not target.is_relative_to(PROJECT) and path.resolve().is_relative_to(source.resolve()):
                place = str(target / path.resolve().relative_to(source.resolve()))
                empty = ("--tmpfs", place, "--remount-ro", place)
                yield from empty if path.is_dir() else ("--ro-bind", os.devnull, place)


def _packages(names: Iterable[str]) -> Iterator[Path]:
    """The folders of packages. Those that no submission may import are hidden: one can import without it showing."""
    for name in names:
        spec = importlib.util.find_spec(name)
        yield from map(Path, (spec and spec.submodule_search_locations) or ())


def _this_project() -> Iterator[Path]:
    """This project, solved as it is: its folder, and what any Python that the sandbox shows has installed of it."""
    yield trust.PROJECT
    tops = {Path(top) for top in (sys.prefix, sys.base_prefix, "/usr", "/usr/local")}
    libraries = {path for top in tops for path in top.glob("lib*/python3*/*-packages")}
    for folder in libraries | {path.parent for path in _packages(["torch"])}:
        for name in INSTALLED:
            yield from folder.glob(name)
