"""Worker side, Linux: the walls inside the sandbox, around one submission and around one request.

The sandbox itself (``classroom.isolation``) is shared by all submissions of a worker, which loads torch only once. So
each submission gets namespaces of its own on top: it sees no other process, and what it leaves in ``/tmp``, in shared
memory or running is gone when the request ends. The first process of these namespaces serves them and keeps the
rights over them; the process that runs student code has none.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from autograder.worker import seccomp

NOBODY = 65534
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x08000000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 24, 36, 38
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION = 0x20080522
LAST_CAPABILITY = 63  # the kernel refuses those it does not know

PATIENCE = 2.0  # seconds for ending what a request left running
LOOKING = 0.2  # seconds for finding out what memory processes share
SOCKET_BUFFERS = 416 << 10  # bytes that one may hold, twice net.core.wmem_max
SCRATCH = (b"/tmp", b"/dev/shm")
SCRATCH_OPTIONS = b"size=64m,nr_inodes=4096,mode=1777"


def leave_root() -> None:
    """Become nobody, where the sandbox was started by root; what needs root is done before."""
    if os.geteuid() == 0:
        _mount_proc()
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def enter() -> None:
    """Return in the first process of new namespaces. The process that called waits for it, and ends when it ends.

    Raises:
        OSError: this system does not allow them.
    """
    _prctl(PR_SET_DUMPABLE, 1)  # or the maps below belong to root
    # A user namespace comes first: inside it this process has the rights to make the others.
    _system("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID)
    # The kernel takes a map of groups from who is not root only once their list can no longer be changed.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {os.geteuid()} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {os.getegid()} 1")
    # The namespace of processes holds only for children. The first is its process 1: when that ends, all in it do.
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        os._exit(abs(os.waitstatus_to_exitcode(status)))
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nor does it outlive the process outside that waits for it
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the one signal that a process below could end this one with
    _mount(b"none", b"/", None, MS_REC | MS_PRIVATE)  # what is mounted from here on stays in here
    _mount_proc()  # the old one shows the processes outside
    _mount_scratch()
    # With a namespace of its own, student code would have rights again and could undo all this.
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    volunteer()
    hide()


def volunteer() -> None:
    """Should the machine run out of memory, let the kernel end this process or its children, not the grading one."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def hide() -> None:
    """Let no process without rights over this one look into its memory and files, where the system can."""
    if sys.platform == "linux":
        _prctl(PR_SET_DUMPABLE, 0)


def clear() -> None:
    """End every process of these namespaces but this one, and forget what they wrote."""
    end_all_others()
    for folder in SCRATCH:
        _system("umount2", folder, MNT_DETACH)
    _mount_scratch()


def adopt_orphans() -> None:
    """Become the parent of every process that a descendant leaves behind, where the system can."""
    if sys.platform == "linux":
        _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> None:
    """Kill and collect what a request left running, outside a sandbox; ``adopt_orphans`` lets it find them."""
    deadline = time.monotonic() + PATIENCE
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    while children.exists() and (left := children.read_text().split()) and time.monotonic() < deadline:
        for pid in map(int, left):
            os.kill(pid, signal.SIGKILL)
        for pid in map(int, left):  # they may be slow to go, and have left children of their own meanwhile
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.001)


def end_all_others() -> None:
    """Kill and collect every other process of this process namespace."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with suppress(ChildProcessError):  # which says that none is left
        while True:
            os.waitpid(-1, 0)


def give_up_rights() -> None:
    """Drop every capability for good, and refuse the system calls of ``seccomp``. For the process of student code."""
    for capability in range(LAST_CAPABILITY + 1):
        try:
            _prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    _system("capset", header, (ctypes.c_uint32 * 6)())
    _prctl(PR_SET_DUMPABLE, 1)  # what memory it shares can be seen
    _refuse_calls()


def wall_in() -> None:
    """What can be done without namespaces, for a worker that is a user of its own: no network, none of those calls."""
    volunteer()
    hide()
    _refuse_calls()


def _refuse_calls() -> None:
    """Refuse the system calls of ``seccomp`` to this process and to all that it starts, for good."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    program = seccomp.program()
    if program is not None:
        _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(_Program(program)))


def memory_in_use(baseline: int, limit: int) -> int:
    """Bytes that the other processes of this namespace hold beyond the ``baseline`` that a fork shares with this one.

    If they could be more than ``limit``, what is shared is looked up, which takes milliseconds for every process; of
    those that cannot be looked at, or not in time, everything counts. Sockets count as if their buffers were full.
    """
    processes = others()
    buffers = sockets() * SOCKET_BUFFERS
    total = sum(map(own_memory, processes)) + buffers - baseline
    if total > limit:
        until = time.monotonic() + LOOKING
        shares = (share_of_memory(entry) if time.monotonic() < until else own_memory(entry) for entry in processes)
        total = sum(shares) + buffers - baseline
    return max(0, total)


def others() -> list[str]:
    """Every process of this namespace but the first, which watches them; also those that have ended unwaited for."""
    return [entry for entry in os.listdir("/proc") if entry.isdigit() and entry != "1"]


def own_memory(process: str = "self") -> int:
    """Bytes that a process holds and that no file backs; 0 once it is gone."""
    return kilobytes(f"/proc/{process}/status", ("RssAnon:", "RssShmem:")) << 10


def share_of_memory(process: str) -> int:
    """Likewise, but of what several processes share, its part."""
    try:
        return kilobytes(f"/proc/{process}/smaps_rollup", ("Pss_Anon:", "Pss_Shmem:")) << 10
    except PermissionError:
        return own_memory(process)


def sockets() -> int:
    """How many sockets there are in this network namespace."""
    try:
        with open("/proc/net/sockstat") as file:
            return int(file.readline().split()[-1])
    except (OSError, ValueError, IndexError):
        return 0


def kilobytes(path: str, names: tuple[str, ...]) -> int:
    """The sum of some lines of a file of ``/proc``; 0 if its process is gone.

    Raises:
        PermissionError: the process may not be looked at.
    """
    try:
        with open(path) as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(names))
    except (FileNotFoundError, ProcessLookupError):
        return 0


class _Program(ctypes.Structure):
    """``struct sock_fprog``: a filter and the number of its instructions."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    def __init__(self, instructions: bytes) -> None:
        super().__init__(len(instructions) // 8, instructions)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None = None) -> None:
    _system("mount", source, target, kind, ctypes.c_ulong(flags), options)


def _mount_proc() -> None:
    _mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def _mount_scratch() -> None:
    for folder in SCRATCH:
        _mount(b"tmpfs", folder, b"tmpfs", MS_NOSUID | MS_NODEV, SCRATCH_OPTIONS)


def _prctl(option: int, value: object, more: object = 0) -> None:
    _system("prctl", option, ctypes.c_ulong(value), more, 0, 0)


def _system(name: str, *arguments: object) -> None:
    """Call a function of the C library that answers -1 for a failure.

    Raises:
        OSError: it failed.
    """
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
