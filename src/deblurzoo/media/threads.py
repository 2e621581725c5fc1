"""Threads that process images in parallel, each on one core."""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import cv2

T = TypeVar("T")
R = TypeVar("R")

_thread = threading.local()
"""The event `stopped` of the pool to which a thread belongs."""


def cores() -> int:
    """Return the number of CPU cores available to this process: at most its container's quota, rounded up."""
    number = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, math.ceil(min([number, *_quotas()])))


def _quotas() -> Iterator[float]:
    """Yield the CPU seconds per second that Linux allows to the control groups (versions 1 and 2) of this process.

    A container's own group lies at the root. Groups of a host, such as a service's or a Slurm job's, lie below it, and
    their parents' quotas hold for them, too.
    """
    with suppress(OSError, ValueError):
        for line in os.fsdecode(Path("/proc/self/cgroup").read_bytes()).splitlines():
            _, controllers, group = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                root = Path("/sys/fs/cgroup/cpu" if controllers else "/sys/fs/cgroup")
                folder = root / group.lstrip("/")
                yield from map(_quota, (path for path in (folder, *folder.parents) if path.is_relative_to(root)))


def _quota(group: Path) -> float:
    """Return the CPU seconds per second that Linux allows to a control group; infinity without a quota."""
    with suppress(OSError, ValueError):  # ValueError: `max` is no number
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            return int(quota) / int(period)
    return math.inf


def in_threads(function: Callable[[T], R], items: Iterable[T], workers: int | None = None) -> Iterator[R]:
    """Yield `function(item)` for all items, in order, called in threads. At most `workers` + 1 items are in flight.

    Threads suffice, because the work releases the GIL. If this process is killed, its threads end, too. By default,
    there is a thread per core, up to 8. OpenCV and torch use no threads of their own: on small images, theirs wait for
    each other longer than they compute, most of all on busy cores. Results are independent of the number of threads.

    If the results are no longer awaited, as after Ctrl-C, items in flight end at their next call of `require_awaited`.
    """
    import torch  # deferred: torch takes seconds to import

    cv2.setNumThreads(1)
    threads, workers = torch.get_num_threads(), workers or min(8, cores())
    stopped = threading.Event()

    def begin() -> None:
        torch.set_num_threads(1)
        _thread.stopped = stopped

    pool = ThreadPoolExecutor(workers, initializer=begin)
    running: deque[Future[R]] = deque()
    try:
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # a thread that has not computed yet takes the number of the pool's threads


def require_awaited() -> None:
    """Raise a CancelledError in a thread of `in_threads` whose result nobody awaits. Items that take long call it."""
    if hasattr(_thread, "stopped") and _thread.stopped.is_set():
        raise CancelledError
