"""Worker side, Linux: the walls inside the sandbox, around one submission and around one call.

The sandbox itself (``grading.isolation``) is shared by all submissions of a worker, which loads torch only once. So
each submission gets namespaces of its own on top: it sees no other process, and what it leaves in ``/tmp``, in shared
memory or running is gone when the call ends. The first process of these namespaces serves the calls and keeps the
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
from pathlib import Path

from autograder import seccomp

NOBODY = 65534
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x08000000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 24, 36, 38
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION = 0x20080522
LAST_CAPABILITY = 63  # the kernel refuses those it does not know

PATIENCE = 2.0  # seconds for ending what a call left running
SCRATCH = ("/tmp", "/dev/shm")
SCRATCH_OPTIONS = b"size=64m,nr_inodes=4096,mode=1777"


def leave_root() -> None:
    """Become nobody, where the sandbox was started by root; what needs root is done before."""
    if os.geteuid() == 0:
        _mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def enter() -> None:
    """Return in the first process of new namespaces. The process that called waits for it, and ends when it ends.

    Raises:
        OSError: this system does not allow them.
    """
    _prctl(PR_SET_DUMPABLE, 1)  # or the maps below belong to root
    _system("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {os.geteuid()} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {os.getegid()} 1")
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        os._exit(abs(os.waitstatus_to_exitcode(status)))
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _mount(b"none", b"/", None, MS_REC | MS_PRIVATE)
    _mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for folder in SCRATCH:
        _mount(b"tmpfs", folder.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, SCRATCH_OPTIONS)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    hide()


def hide() -> None:
    """Let no process without rights over this one look into its memory and files, where the system can."""
    if sys.platform == "linux":
        _prctl(PR_SET_DUMPABLE, 0)


def clear() -> None:
    """End every process of these namespaces but this one, and forget what they wrote."""
    end_all_others()
    for folder in SCRATCH:
        _system("umount2", folder.encode(), MNT_DETACH)
        _mount(b"tmpfs", folder.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, SCRATCH_OPTIONS)


def adopt_orphans() -> None:
    """Become the parent of every process that a descendant leaves behind, where the system can."""
    if sys.platform == "linux":
        _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> None:
    """Kill and collect what a call left running, outside a sandbox; ``adopt_orphans`` lets it find them."""
    deadline = time.monotonic() + PATIENCE
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    while children.exists() and (left := children.read_text().split()) and time.monotonic() < deadline:
        for pid in map(int, left):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def end_all_others() -> None:
    """Kill and collect every other process of this process namespace."""
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


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
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    program = seccomp.program()
    if program is not None:
        _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(_Program(program)))


def memory_in_use(baseline: int) -> int:
    """Bytes that the other processes of this namespace hold, each beyond a ``baseline`` that a fork shares."""
    processes = [entry for entry in os.listdir("/proc") if entry.isdigit() and entry != "1"]
    return sum(max(0, own_memory(entry) - baseline) for entry in processes)


def own_memory(process: str = "self") -> int:
    """Bytes that a process holds and that no file backs; 0 once it is gone."""
    try:
        with open(f"/proc/{process}/status") as file:
            lines = [line.split() for line in file if line.startswith(("RssAnon:", "RssShmem:"))]
    except OSError:
        return 0
    return sum(int(kilobytes) << 10 for _, kilobytes, _ in lines)


class _Program(ctypes.Structure):
    """``struct sock_fprog``: a filter and the number of its instructions."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    def __init__(self, instructions: bytes) -> None:
        super().__init__(len(instructions) // 8, instructions)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None = None) -> None:
    _system("mount", source, target, kind, ctypes.c_ulong(flags), options)


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
