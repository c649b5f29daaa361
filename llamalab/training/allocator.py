"""Keep freed memory: training on a CPU takes and frees the same large blocks at every step."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Tell glibc not to give freed blocks back to the system, which would clear every page again on the next use.

    Training is then 6 to 16% faster, and holds on to its peak of memory. Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, NEVER)
        mallopt(M_TRIM_THRESHOLD, NEVER)
