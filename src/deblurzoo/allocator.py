"""Reuse of freed memory, which makes networks on a CPU up to 1.5 times faster."""

import ctypes
import os
import sys

SWITCH = "DEBLURZOO_KEEP_MEMORY"
"""Environment variable; if its value is 0, the allocator is not configured."""
_LARGEST = 2**31 - 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_memory() -> bool:
    """Configure glibc to reuse large blocks and torch to request huge pages; return whether this succeeded.

    By default, glibc returns a large freed block to the system, and the output of each layer causes new page faults.
    With reuse, the memory of the process stays at its peak. Call this function before torch is imported. Child
    processes inherit the configuration through the environment.
    """
    if "torch" in sys.modules or os.environ.get(SWITCH) == "0" or not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # not glibc
        return False
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(_LARGEST))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(_LARGEST))
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST) and mallopt(_M_TRIM_THRESHOLD, _LARGEST))


def give_back() -> None:
    """Release freed memory that glibc retains, so that later allocations can be measured."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)
