"""Keeping freed memory in the process, which makes networks on a CPU up to 1.5 times faster."""

import ctypes
import os
import sys

SWITCH = "DEBLURZOO_KEEP_MEMORY"
"""Environment variable: 0 leaves the allocator as it is."""
_LARGEST = 2**31 - 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_memory() -> bool:
    """Make glibc reuse large blocks and torch ask for huge pages; return whether that was done.

    glibc gives a large block back to the system when it is freed: each result of each layer is then page-faulted in
    anew. The price is that the process stays as large as it has once been. Must run before torch is imported; the
    environment carries the setting to the processes that this one starts.
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
    """Return freed memory to the system, as far as glibc has kept it: what is taken from then on can be measured."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)
