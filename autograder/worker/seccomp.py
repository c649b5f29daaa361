"""Worker side, Linux: the system calls that student code is refused, as a seccomp filter.

They answer "operation not permitted": what reaches into other processes, makes namespaces or mounts, holds memory that
no limit counts (memfd, System V shared memory, kernel keys), or is a large, seldom used part of the kernel. A process
changes limits and priorities of its own only, not of the one that watches it. Sockets are those within a machine:
there is no network, and ``AF_VSOCK``, for one, would reach the host of a virtual machine all the same. The format is
that of Linux's ``seccomp_filter.rst`` and ``bpf.h``.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Sequence

# Name: number on x86_64, number on aarch64.
REFUSED = {
    # What reaches into other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # Mounts and namespaces: the walls themselves.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    # Kernel keys: memory that is a user's, not a process's, and stays when the process ends.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Large and seldom used parts of the kernel, in which holes were found again and again.
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # Memory and queues that no limit of a process counts, or that outlive it.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # Files by their number, past what is mounted.
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # What weakens the process's own protections, tells of the kernel, or takes others' share of the disk.
    "personality": (135, 92),
    "syslog": (103, 116),
    "ioprio_set": (251, 30),
    # The machine's own.
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
}
# Likewise, and which arguments must be 0: this process, and no other.
OWN_ONLY = {
    "prlimit64": ((302, 261), (0,)),
    "setpriority": ((141, 140), (0, 1)),
    "sched_setaffinity": ((203, 122), (0,)),
    "sched_setparam": ((142, 118), (0,)),
    "sched_setscheduler": ((144, 119), (0,)),
    "sched_setattr": ((314, 274), (0,)),
}
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW... flag that clone takes
AF_UNIX = 1

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_...
X32 = 0x40000000  # a second numbering of the calls of x86_64

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT, ARGUMENT = 0, 4, 16, 8  # offsets in struct seccomp_data, and an argument's size
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000

Instruction = tuple[int, int, int, int]  # code, steps if true, steps if false, value


def program(machine: str = "") -> bytes | None:
    """The filter's instructions for a machine (this one, if none is named); None for one that is not in the table."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        return None
    column, architecture = ARCHITECTURES[machine]
    refuse, absent = REFUSE | errno.EPERM, REFUSE | errno.ENOSYS
    # A jump skips so many of the following instructions: one if what it compares holds, the other if not. Each test
    # below either returns or falls through to the next; what was loaded last stays loaded.
    lines: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),  # 32-bit calls have other numbers, which this table would take for others
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, refuse),
        (EQUAL, 0, 1, CLONE3[column]),  # its flags lie in memory; the C library then takes clone
        (RETURN, 0, 0, absent),
    ]
    for numbers in REFUSED.values():
        lines += [(EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, refuse)]
    # Loading an argument loses the number, so every way out of such a block returns. Only the lower half of an argument
    # is looked at: all of these are 32 bits wide, and the kernel ignores the rest.
    for numbers, zero in OWN_ONLY.values():
        lines.append((EQUAL, 0, 3 * len(zero) + 1, numbers[column]))
        for index in zero:
            lines += [(LOAD, 0, 0, FIRST_ARGUMENT + ARGUMENT * index), (EQUAL, 1, 0, 0), (RETURN, 0, 0, refuse)]
        lines.append((RETURN, 0, 0, ALLOW))
    lines += [
        (EQUAL, 0, 4, CLONE[column]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (ANY_BIT, 0, 1, NEW_NAMESPACES),
        (RETURN, 0, 0, refuse),
        (RETURN, 0, 0, ALLOW),
        (EQUAL, 1, 0, SOCKET[column]),
        (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (EQUAL, 0, 1, AF_UNIX),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, refuse),
    ]
    return _packed(lines)


def _packed(lines: Sequence[Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
