"""Threads that process images in parallel, each on one core."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Return the number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def in_threads(function: Callable[[T], R], items: Iterable[T], workers: int | None = None) -> Iterator[R]:
    """Yield `function(item)` for all items, in order, called in threads. At most `workers` + 1 items are in flight.

    Threads suffice, because the work releases the GIL. If this process is killed, its threads end, too. By default,
    there is a thread per core, up to 8. OpenCV and torch use no threads of their own: on small images, theirs wait for
    each other longer than they compute, most of all on busy cores. Results are independent of the number of threads.
    """
    import torch  # deferred: torch takes seconds to import

    cv2.setNumThreads(1)
    threads, workers = torch.get_num_threads(), workers or min(8, cores())
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    running: deque[Future[R]] = deque()
    try:
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # a thread that has not computed yet takes the number of the pool's threads
