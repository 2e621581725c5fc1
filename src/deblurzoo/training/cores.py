"""Threads of a process that computes on a CPU, where other processes use the cores as well."""

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import psutil
import torch

from deblurzoo.media.threads import cores

log = logging.getLogger(__name__)

_SAMPLE, _RECENT = 0.5, 30.0
"""Seconds over which the use of the cores is measured: at least, and at most after the import of this module."""


@contextmanager
def free_cores(accelerator: str, begun: int | None) -> Iterator[int | None]:
    """Compute on a CPU with as many threads as other processes leave cores free, but at least one.

    Yield the number of threads, or None if the device is not a CPU. A container's quota counts as its number of cores.

    Threads wait for each other after every layer. Where small networks of two processes share two cores, each trains
    up to eight times slower than alone with two threads in both processes, but at most twice as slow if one of them has
    one thread. A resumed job keeps its number of threads, `begun`, as results depend on it to the last bit.
    `OMP_NUM_THREADS` overrides both.
    """
    if not _computes_on_cpu(accelerator):
        yield None
        return
    before = torch.get_num_threads()
    threads = before if _is_given() else min(before, cores())
    chosen, reason = threads, ""
    if begun and not _is_given():
        chosen, reason = min(begun, threads), "recorded"
    elif not _is_given():
        chosen, reason = max(1, _cores_left(threads)), "other processes use the other cores"
    if begun and chosen < begun:
        log.warning("threads: %d instead of the recorded %d: the last digits of results can differ", chosen, begun)
    elif chosen < threads:
        log.warning("threads: %d, as %s; OMP_NUM_THREADS=%d uses all cores", chosen, reason, threads)
    torch.set_num_threads(chosen)
    try:
        yield chosen
    finally:
        torch.set_num_threads(before)  # for the next job of a sweep


def _is_given() -> bool:
    """Whether the environment gives a number of threads that OpenMP accepts."""
    return bool(re.match(r"\s*[1-9]", os.environ.get("OMP_NUM_THREADS", "")))


def _computes_on_cpu(accelerator: str) -> bool:
    return accelerator == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())


def _cores_left(threads: int) -> int:
    """Return the number of cores that other processes leave free; at most `threads`.

    The use since the import of this module is measured, because two processes that are started together both sleep
    while they measure. A process that runs for longer measures anew.
    """
    if threads == 1:
        return 1
    start = _IMPORTED if time.monotonic() - _IMPORTED.time < _RECENT else _usage()
    time.sleep(max(0.0, start.time + _SAMPLE - time.monotonic()))
    now = _usage()
    busy = (now.all - now.own - start.all + start.own) / max(now.time - start.time, 1e-3)
    return min(threads, max(0, round((psutil.cpu_count() or 1) - busy)))


class _Usage(NamedTuple):
    """Seconds: a time, and the use of the cores until then by all processes, and by this process and its children."""

    time: float
    all: float
    own: float


def _usage() -> _Usage:
    """Return the use of the cores until now; 0 where the system does not state it, as in some containers."""
    used = own = 0.0
    with suppress(OSError, psutil.Error):
        everyone, this = psutil.cpu_times(), psutil.Process()
        for process in (this, *this.children(recursive=True)):  # compilers are children
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                own += times.user + times.system + times.children_user + times.children_system
        used = everyone.user + everyone.system + getattr(everyone, "nice", 0)
    return _Usage(time.monotonic(), used, own)


_IMPORTED = _usage()
