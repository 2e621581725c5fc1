"""Measurement of the available memory, and of the memory that a network needs per pixel."""

import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil
import torch
from torch import Tensor

from deblurzoo.allocator import give_back
from deblurzoo.errors import DeblurzooError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
_WARM_UP, _PROBE = (64, 64), (64, 1152)
"""Heights and widths in pixels of the two inputs of `measure`, multiples of each network's `size_multiple`.

The second input is long, so that the window of NAFNet's local statistics does not cover it, as in a large image.
"""
DEFAULT = 2 * 10**9
"""Default memory limit in bytes on a CPU, in addition to the memory in use, unless an image needs more.

Small tiles are restored faster than large tiles, because first use of memory takes longer than the tiles' overlap.
"""
_CAUTION = 1.25
"""Safety factor, because memory fragmentation increases with the size of the tiles."""


def parse_bytes(text: str) -> int:
    """Return the number of bytes of a size such as `2GB`, `1.5GiB` or `800MB`.

    Raises:
        DeblurzooError: the text is not a size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?|)B?", text.strip().upper())
    if match is None or not float(match[1]):
        raise DeblurzooError(f"{text} is not a memory size: use a size such as 2GB or 800MB")
    return int(float(match[1]) * _UNITS[match[2]])


class Peak:
    """Peak memory in bytes: resident size of this process, or GPU memory. Valid after `watched` has ended."""

    value = 0


@contextmanager
def watched(device: torch.device) -> Iterator[Peak]:
    """Record the peak memory of a `with` block. On a CPU, the resident size is polled every millisecond."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.value = torch.cuda.max_memory_allocated(device)
        return
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.001):
            peak.value = max(peak.value, used(device))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak.value = max(peak.value, used(device))


def used(device: torch.device) -> int:
    """Return the resident size of this process, or the GPU memory that torch has allocated, in bytes."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if device.type == "mps":  # an Apple GPU shares the memory of the CPU
        return int(psutil.Process().memory_info().rss) + torch.mps.driver_allocated_memory()
    return int(psutil.Process().memory_info().rss)


def free(device: torch.device) -> int:
    """Return the available memory in bytes."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else int(psutil.virtual_memory().available)


class Need(NamedTuple):
    """Memory that a network needs: `base` bytes, plus `per_pixel` bytes for each pixel of a tile."""

    base: int
    per_pixel: float


def measure(run: Callable[[Tensor], object], frames: int, device: torch.device) -> Need:
    """Return the memory that `run` needs for an input (1, frames, 3, H, W). It is measured in two runs on noise.

    The memory depends on network, width, precision, device and operator backend, so it cannot be tabulated. The
    first, smaller run triggers one-time loading and compilation.
    """

    def noise(height: int, width: int) -> Tensor:
        return torch.rand(1, frames, 3, height, width)

    give_back()  # otherwise `run` would reuse freed memory, and the result would be too small
    run(noise(*_WARM_UP))
    base = used(device)
    with watched(device) as peak:
        run(noise(*_PROBE))
    return Need(base, _CAUTION * max(peak.value - base, 1) / math.prod(_PROBE))
