"""Settings of the process that make networks on a CPU faster: freed memory is reused, and waiting threads sleep."""

import ctypes
import os
import sys

SWITCH = "DEBLURZOO_KEEP_MEMORY"
"""Environment variable; if its value is 0, freed memory is returned to the system."""
_LARGEST = 2**31 - 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def configure() -> None:
    """Configure threads and memory of this process and, through the environment, of its child processes.

    The package calls this function when it is imported, so the settings hold for the command line and for Python.
    Environment variables that the user sets have precedence.
    """
    # By default, threads of OpenMP wait in a loop: beside other work, the loop takes the cores that the work needs.
    # OpenMP reads the variable when torch is imported; a process that imports torch first keeps the default.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if os.environ.get(SWITCH) != "0":
        keep_memory()


def keep_memory() -> bool:
    """Configure glibc to reuse large blocks and torch to request huge pages; return whether this succeeded.

    By default, glibc returns a large freed block to the system, and the output of each layer causes new page faults.
    With reuse, the memory of the process stays at its peak.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is None:  # not glibc
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
