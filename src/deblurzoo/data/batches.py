"""How samples become batches, and batches travel from the reading processes to the training one."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from deblurzoo.batch import Batch

PREFETCH = 4
"""Batches that each reading process has ready: a slow file then stops no step."""


SLOTS = PREFETCH + 1
"""Batches that each reading process holds at once, see `Collation`."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def default_workers() -> int:
    """Return a number of reading processes for this machine: half its cores, between 1 and 8."""
    return max(1, min(8, cores() // 2))


def worker_options(workers: int) -> dict[str, Any]:
    """Return the options of a data loader that reads in `workers` processes, in order and some items ahead."""
    return {
        "num_workers": workers,
        "worker_init_fn": _start_worker,
        "persistent_workers": workers > 0,
        "prefetch_factor": PREFETCH if workers else None,
        # A launcher of several jobs (joblib) sets another start method, which would pickle the pipeline.
        "multiprocessing_context": "fork" if workers and sys.platform == "linux" else None,
    }


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)  # workers are parallel already
    if sys.platform == "linux":
        # Slurm signals all processes of a job, and training needs its workers until it has saved.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_when_the_parent_says, daemon=True).start()


def _end_when_the_parent_says() -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)


class BatchLoader(DataLoader[Batch]):
    """Gives batches of uint8 pictures (B, T, 3, H, W) and (B, 3, H, W), each pixel's R, G, B together in memory.

    Pictures have them together: copying is several times faster than reordering, which is left to the device.
    """

    def __init__(self, dataset: Dataset[Batch], workers: int, **arguments: Any) -> None:
        super().__init__(dataset, collate_fn=Collation(), **worker_options(workers), **arguments)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Give batches whose memory is their own: what a worker sent is overwritten by its later ones."""
        mapped: deque[Batch] = deque(maxlen=self.num_workers * SLOTS)  # mapping shared memory anew costs more
        for batch in super().__iter__():
            mapped.append(batch)
            own = self.pin_memory or not self.num_workers
            yield batch if own else batch._replace(blur=batch.blur.clone(), sharp=batch.sharp.clone())


class Collation:
    """Stacks samples, in a worker in one of a few shared buffers in turn: fresh shared memory costs more than the copy.

    A worker fills at most `PREFETCH` batches before it is asked for another one, which happens when the training
    process takes the oldest of them and, next, copies it: one buffer more is never written while it is read.
    """

    def __init__(self) -> None:
        self.buffers: list[list[Tensor]] = [[] for _ in range(SLOTS)]
        self.turn = 0

    def __call__(self, samples: list[Batch]) -> Batch:
        """Return the samples as one batch."""
        pictures = [_interleaved(sample) for sample in samples]
        shapes = [(len(samples), *picture.shape) for picture in pictures[0]]
        self.turn = (self.turn + 1) % len(self.buffers)
        if [buffer.shape for buffer in self.buffers[self.turn]] != shapes or get_worker_info() is None:
            self.buffers[self.turn] = [torch.empty(shape, dtype=torch.uint8) for shape in shapes]
        buffers = self.buffers[self.turn]
        for stacked, parts in zip(buffers, zip(*pictures, strict=True), strict=True):
            torch.stack(parts, out=stacked)
        blur, sharp = (stacked.movedim(-1, -3) for stacked in buffers)
        return Batch(blur, sharp, [str(sample.clip) for sample in samples], [str(sample.frame) for sample in samples])


def _interleaved(sample: Batch) -> tuple[Tensor, Tensor]:
    return sample.blur.movedim(-3, -1), sample.sharp.movedim(-3, -1)
