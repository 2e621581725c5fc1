"""Batch loading: collating samples in workers and transferring batches to the training process."""

import errno
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from multiprocessing.connection import Listener
from types import FrameType, TracebackType
from typing import Any, TypeVar

import cv2
import torch
from torch import Tensor
from torch.distributed import is_initialized
from torch.utils.data import DataLoader, Dataset, get_worker_info

from deblurzoo.batch import Batch, Unblurred, Unrendered
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.media.threads import cores

Drawn = TypeVar("Drawn", Unrendered, Unblurred)
PREFETCH = 4
"""Number of batches that each worker prefetches, so that a slow file does not delay a training step."""


SLOTS = PREFETCH + 1
"""Number of shared buffers per worker, see `Collation`."""


def default_workers() -> int:
    """Return the default number of workers: half the available cores, between 1 and 8."""
    return max(1, min(8, cores() // 2))


def worker_options(workers: int) -> dict[str, Any]:
    """Return `DataLoader` arguments for `workers` workers, each of which prefetches `PREFETCH` items.

    Raises:
        DeblurzooError: workers cannot send batches, because the temporary folder cannot hold a socket.
    """
    if workers:
        _require_sockets()
    return {
        "num_workers": workers,
        "worker_init_fn": _start_worker,
        "persistent_workers": workers > 0,
        "prefetch_factor": PREFETCH if workers else None,
        # Set explicitly: joblib's launcher sets a start method that requires a picklable augmentation pipeline.
        "multiprocessing_context": "fork" if workers and sys.platform == "linux" else None,
    }


def _require_sockets() -> None:
    """Raise a DeblurzooError if the temporary folder cannot hold a socket: loading would hang."""
    try:
        Listener().close()
    except OSError as error:
        raise DeblurzooError(
            f"the data-loader workers cannot create a socket in {tempfile.gettempdir()} ({first_line(error)}): set "
            "TMPDIR to a local folder with a short path"
        ) from error


def _start_worker(_: int) -> None:
    cv2.setNumThreads(0)  # the workers already run in parallel
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, but the parent ends its workers
    sys.excepthook = _tell  # called by multiprocessing's thread that sends shared memory
    if sys.platform == "linux":
        # Slurm sends signals to all processes, but training needs its workers until the checkpoint is saved.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_when_the_parent_says, daemon=True).start()


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an exception; ignore broken connections, because they only mean that the training process has exited."""
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _end_when_the_parent_says() -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)


class BatchLoader(DataLoader[Batch]):
    """Loader of uint8 batches with channels-last memory layout: blurry (B, T, 3, H, W) and sharp (B, 3, H, W).

    Decoded images are channels-last. Batches keep this layout until they are on the device, because copying is several
    times faster than reordering.
    """

    def __init__(self, dataset: Dataset[Batch], workers: int, **arguments: Any) -> None:
        super().__init__(dataset, collate_fn=Collation(), **worker_options(workers), **arguments)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Yield batches that own their memory, because workers reuse their shared buffers."""
        mapped: deque[Batch] = deque(maxlen=self.num_workers * SLOTS)  # keeps memory mapped: remapping is slow
        batches = self._batches()
        while batch := _next(batches):
            mapped.append(batch)
            own = self.pin_memory or not self.num_workers
            yield batch if own else batch._replace(blur=batch.blur.clone(), sharp=batch.sharp.clone())

    def _batches(self) -> Iterator[Batch]:
        yield from super().__iter__()


def _next(batches: Iterator[Batch]) -> Batch | None:
    """Return the next batch, or None after the last batch. SIGTERM interrupts the wait.

    Lightning handles SIGTERM only between steps, but a step never ends if the disk does not respond.
    """
    previous = signal.getsignal(signal.SIGTERM)
    if not callable(previous) or threading.current_thread() is not threading.main_thread() or is_initialized():
        return next(batches, None)  # with DDP, Lightning stops all processes after the same step

    def stop(number: int, frame: FrameType | None) -> None:
        previous(number, frame)
        raise SystemExit(1)

    signal.signal(signal.SIGTERM, stop)
    try:
        return next(batches, None)
    finally:
        signal.signal(signal.SIGTERM, previous)


def shared(tensor: Tensor) -> Tensor:
    """Move a tensor into shared memory in a worker; return it unchanged in the training process.

    Without this call, a thread of the worker's queue would move the tensor. If shared memory were full, its error would
    be lost, and the worker and the training process would wait forever.

    Raises:
        DeblurzooError: shared memory is full.
    """
    try:
        return tensor if get_worker_info() is None else tensor.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise DeblurzooError(_no_shared_memory(error)) from error


def _no_shared_memory(error: Exception) -> str:
    return (
        f"the data-loader workers ran out of shared memory ({first_line(error)}): provide more of it (docker run "
        "--shm-size=8g), or, for training and evaluation, set a smaller datamodule.workers (0 needs no shared memory)"
    )


def reader_failure(error: Exception) -> DeblurzooError | None:
    """Return the error to raise if a killed worker or full shared memory caused `error`, otherwise None."""
    at_a_queue = any("multiprocessing" in frame.filename for frame in traceback.extract_tb(error.__traceback__))
    if at_a_queue and isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DeblurzooError(_no_shared_memory(error))
    of_torch = isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
    # The exception type depends on when the worker was killed.
    if of_torch or (at_a_queue and isinstance(error, ConnectionError | EOFError)):
        return DeblurzooError(
            f"a data-loader worker was killed ({first_line(error)}), possibly for lack of memory or shared memory: set "
            "a smaller datamodule.workers (0 needs no shared memory) or a smaller datamodule.batch_size. Then run the "
            "command again: training resumes from the last checkpoint with resume=auto; evaluation and packing "
            "resume automatically"
        )
    return None


@contextmanager
def told_reader_failures() -> Iterator[None]:
    """Convert an exception caused by a worker to a DeblurzooError, see `reader_failure`."""
    try:
        yield
    except Exception as error:
        if failure := reader_failure(error):
            raise failure from error
        raise


class Collation:
    """Collate function that stacks samples into shared buffers. Each worker reuses a ring of `SLOTS` buffers.

    Allocating shared memory takes longer than copying the samples. With newly allocated buffers, only 0.5 to 0.8 times
    as many samples per second were read from a pack (measured on two cores with 1 or 2 workers and batches of 16 pairs,
    128 or 256 pixels per side; medians of interleaved rounds). Reading PNGs takes equally long, as decoding dominates.

    A worker has at most `PREFETCH` outstanding batches. The training process receives the oldest batch, requests a new
    batch, and then copies the received batch. One additional buffer ensures that no buffer is overwritten during the
    copy.
    """

    def __init__(self) -> None:
        self.buffers: list[list[Tensor]] = [[] for _ in range(SLOTS)]
        self.turn = 0

    def __call__(self, samples: list[Batch]) -> Batch:
        """Return the stacked samples."""
        pictures = [_interleaved(sample) for sample in samples]
        shapes = [(len(samples), *picture.shape) for picture in pictures[0]]
        self.turn = (self.turn + 1) % len(self.buffers)
        if [buffer.shape for buffer in self.buffers[self.turn]] != shapes or get_worker_info() is None:
            self.buffers[self.turn] = [shared(torch.empty(shape, dtype=torch.uint8)) for shape in shapes]
        buffers = self.buffers[self.turn]
        for stacked, parts in zip(buffers, zip(*pictures, strict=True), strict=True):
            torch.stack(parts, out=stacked)
        blur, sharp = (stacked.movedim(-1, -3) for stacked in buffers)
        clips, frames = [str(sample.clip) for sample in samples], [str(sample.frame) for sample in samples]
        flow, noise, quality = (
            _stacked([getattr(sample, name) for sample in samples]) for name in ("flow", "noise", "quality")
        )
        unrendered = _joined([sample.unrendered for sample in samples])
        unblurred = _joined([sample.unblurred for sample in samples])
        return Batch(blur, sharp, clips, frames, flow, unrendered, unblurred, noise, quality)


def _stacked(parts: list[Tensor | None]) -> Tensor | None:
    """Return a tensor of all samples, or None if a sample lacks it."""
    known = [part for part in parts if part is not None]
    return shared(torch.stack(known)) if len(known) == len(parts) else None


def _joined(drawn: Sequence[Drawn | None]) -> Drawn | None:
    """Return the drawn blur of all samples that have any."""
    parts = {number: part for number, part in enumerate(drawn) if part is not None}
    if not parts:
        return None
    joined = map(_field, zip(*parts.values(), strict=True))
    return type(next(iter(parts.values())))._make(joined)._replace(sample=list(parts))


def _field(values: tuple[Any, ...]) -> Any:
    """Return the tensors or lists of all samples, concatenated."""
    return shared(torch.cat(values)) if isinstance(values[0], Tensor) else [*chain(*values)]


def _interleaved(sample: Batch) -> tuple[Tensor, Tensor]:
    return sample.blur.movedim(-3, -1), sample.sharp.movedim(-3, -1)
