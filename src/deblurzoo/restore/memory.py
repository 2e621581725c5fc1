"""How much memory there is, and how much of it a network needs for a pixel."""

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
_WARM_UP, _PROBE = 64, 384
"""Sides in pixels, multiples of every `size_multiple`."""
_CAUTION = 1.25
"""Larger tiles break up the memory more than the probe's does."""


def parse_bytes(text: str) -> int:
    """Return the bytes of `2GB`, `1.5GiB`, `800MB`.

    Raises:
        DeblurzooError: it is no such size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?|)B?", text.strip().upper())
    if match is None or not float(match[1]):
        raise DeblurzooError(f"{text} is no size of memory: give one like 2GB or 800MB")
    return int(float(match[1]) * _UNITS[match[2]])


class Peak:
    """The largest resident size of this process, or use of a GPU, in bytes; read it after `watched` ended."""

    value = 0


@contextmanager
def watched(device: torch.device) -> Iterator[Peak]:
    """Watch how much memory is used: on a CPU by looking every millisecond at the resident size of the process."""
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
    """Return the resident size of this process, or what torch holds of a GPU, in bytes."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def free(device: torch.device) -> int:
    """Return how many bytes could still be taken."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else int(psutil.virtual_memory().available)


class Need(NamedTuple):
    """What a network needs: `base` bytes in any case, and `per_pixel` bytes for each pixel of a tile."""

    base: int
    per_pixel: float


def measure(run: Callable[[Tensor], object], frames: int, device: torch.device) -> Need:
    """Measure what `run` on (1, frames, 3, H, W) needs, by two runs on noise.

    It depends on the network, its width, the precision, the device and the operators' backends: no table would hold.
    The first and smaller run pays for what is loaded or compiled once.
    """

    def noise(side: int) -> Tensor:
        return torch.rand(1, frames, 3, side, side)

    give_back()  # what is kept of earlier work would hide what this takes
    run(noise(_WARM_UP))
    base = used(device)
    with watched(device) as peak:
        run(noise(_PROBE))
    return Need(base, _CAUTION * max(peak.value - base, 1) / _PROBE**2)
