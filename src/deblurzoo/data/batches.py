"""How samples become batches, and batches travel from the reading processes to the training one."""

import errno
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.distributed import is_initialized
from torch.utils.data import DataLoader, Dataset, get_worker_info

from deblurzoo.batch import Batch
from deblurzoo.errors import DeblurzooError, first_line

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
    sys.excepthook = _tell  # which the thread calls that hands over batches
    if sys.platform == "linux":
        # Slurm signals all processes of a job, and training needs its workers until it has saved.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_when_the_parent_says, daemon=True).start()


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an error, unless it only shows that the training process has stopped while it took a batch."""
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


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
        batches = self._batches()
        while batch := _next(batches):
            mapped.append(batch)
            own = self.pin_memory or not self.num_workers
            yield batch if own else batch._replace(blur=batch.blur.clone(), sharp=batch.sharp.clone())

    def _batches(self) -> Iterator[Batch]:
        yield from super().__iter__()


def _next(batches: Iterator[Batch]) -> Batch | None:
    """Return the next batch, or None after the last one; SIGTERM ends the wait for it.

    Lightning heeds SIGTERM between two steps, to which it never comes if the disk no longer answers.
    """
    previous = signal.getsignal(signal.SIGTERM)
    if not callable(previous) or threading.current_thread() is not threading.main_thread() or is_initialized():
        return next(batches, None)  # several training processes stop in the same step, as Lightning has them agree

    def stop(number: int, frame: FrameType | None) -> None:
        previous(number, frame)
        raise SystemExit(1)

    signal.signal(signal.SIGTERM, stop)
    try:
        return next(batches, None)
    finally:
        signal.signal(signal.SIGTERM, previous)


def shared(tensor: Tensor) -> Tensor:
    """Move a tensor into shared memory if this is a reading process.

    The queue to the training process would do it, in a thread whose errors are lost: both would wait for ever.

    Raises:
        DeblurzooError: shared memory is full.
    """
    try:
        return tensor if get_worker_info() is None else tensor.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise DeblurzooError(_no_shared_memory(error)) from error


def _no_shared_memory(error: Exception) -> str:
    return (
        f"the processes that read frames have too little shared memory ({first_line(error)}): give them more (docker "
        "run --shm-size=8g), or, to train and evaluate, set a smaller datamodule.workers (0 needs none)"
    )


def reader_failure(error: Exception) -> DeblurzooError | None:
    """Return the message for an error that shows that a process that reads frames has failed; None for any other."""
    at_a_queue = any("multiprocessing" in frame.filename for frame in traceback.extract_tb(error.__traceback__))
    if at_a_queue and isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DeblurzooError(_no_shared_memory(error))
    of_torch = isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
    if of_torch or (at_a_queue and isinstance(error, ConnectionError | EOFError)):  # which one, depends on the moment
        return DeblurzooError(
            f"a process that reads frames was killed ({first_line(error)}): memory or shared memory may have run out, "
            "so set fewer datamodule.workers (0 needs no shared memory) or a smaller datamodule.batch_size; "
            "resume=auto goes on from the last checkpoint, an evaluation and a pack where they were"
        )
    return None


@contextmanager
def told_reader_failures() -> Iterator[None]:
    """Raise the failure of a process that reads frames as a DeblurzooError."""
    try:
        yield
    except Exception as error:
        if failure := reader_failure(error):
            raise failure from error
        raise


class Collation:
    """Stacks samples, in a worker in one of a few shared buffers in turn: fresh shared memory costs more than the copy.

    Without the buffers, a pack gave 0.5 to 0.8 times as many samples per second (two cores, 1 or 2 workers, 16 pairs of
    128 or 256 pixels, medians of interleaved rounds). PNGs gave as many: there decoding takes the time.

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
            self.buffers[self.turn] = [shared(torch.empty(shape, dtype=torch.uint8)) for shape in shapes]
        buffers = self.buffers[self.turn]
        for stacked, parts in zip(buffers, zip(*pictures, strict=True), strict=True):
            torch.stack(parts, out=stacked)
        blur, sharp = (stacked.movedim(-1, -3) for stacked in buffers)
        return Batch(blur, sharp, [str(sample.clip) for sample in samples], [str(sample.frame) for sample in samples])


def _interleaved(sample: Batch) -> tuple[Tensor, Tensor]:
    return sample.blur.movedim(-3, -1), sample.sharp.movedim(-3, -1)
