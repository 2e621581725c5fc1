"""Results of an evaluation: metrics per image, their means, and metadata of the evaluation."""

import json
import logging
import os
import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from deblurzoo.batch import Batch
from deblurzoo.data.blur_length import tile_lengths
from deblurzoo.data.clips import Sample
from deblurzoo.data.consistency import follows, warping_errors
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.files import LOCK, release, take_over, unfinished, write_atomically
from deblurzoo.media import Image
from deblurzoo.media.images import read_image, write_png
from deblurzoo.metrics import WARPING, measured, metric
from deblurzoo.metrics.batches import to_uint8
from deblurzoo.metrics.protocols import MEASURES
from deblurzoo.metrics.psnr_ssim import image_psnr
from deblurzoo.metrics.tiles import tile_errors
from deblurzoo.pictures.strips import strip
from deblurzoo.records import checked
from deblurzoo.reports.results import (
    RESULTS,
    Facts,
    FedSharp,
    FrameName,
    Measured,
    NothingToRestore,
    Results,
    Row,
    Tiles,
    row_of,
)
from deblurzoo.reports.run_folder import FACTS

log = logging.getLogger(__name__)

Images = tuple[Image, Image, Image]
"""The blurry, the restored and the sharp image of a frame."""


class ResultsWriter(pl.Callback):
    """Callback that measures every restored frame and its blurry input, and writes PNGs and `results.json`.

    Threads measure and write images while the network runs; their queue is limited to a few images. Metric values are
    appended to a file in an unfinished folder next to `out`, from which an interrupted evaluation resumes.

    Args:
        out: folder for `results.json`, `restored/CLIP/FRAME.png` and `side_by_side/CLIP_FRAME.png`. Results of an
            earlier evaluation are replaced after all frames have been measured.
        facts: metadata, copied into `results.json`: network, checkpoint, data set, config. An unfinished evaluation
            resumes only if `facts` are unchanged; the config of the data module may differ.
        samples: samples to measure, in this order. At the end, samples with a sharp frame as input
            measure the harm to sharp input.
        metrics: names of the metrics.
        pictures: number of blurry | restored | sharp strips to write, for evenly spaced frames.
        threads: number of measuring threads.

    Attributes:
        measured: number of samples already measured by an unfinished evaluation.
    """

    def __init__(
        self,
        out: Path,
        facts: Facts,
        samples: list[Sample],
        metrics: Sequence[str],
        pictures: int,
        threads: int,
    ) -> None:
        self.finished, self.facts, self.samples = out, facts, samples
        self.out = unfinished(out)
        self._rows = self.out / "measured.jsonl"
        # An evaluation that was killed while moving its images here leaves images without results.json.
        ours = (out / RESULTS).is_file() or self._rows.is_file()
        if not ours and any((out / name).exists() for name in ("restored", "side_by_side")):
            raise DeblurzooError(f"out={out} contains images that are not from an evaluation: choose another folder")
        self.measure, self.metrics = MEASURES[facts.measure].function, list(metrics)
        self.rounding = facts.settings.rounding
        frames = sum(not sample.is_fed_sharp for sample in samples)
        self.picture_step = max(1, frames // pictures) if pictures else 0
        self.measured = self._resume()
        self._threads, self._pool = threads, ThreadPoolExecutor(threads)
        self._pending: deque[Future[Row]] = deque()
        self._last: Images | None = None

    def _resume(self) -> int:
        """Return the number of samples already measured; clear the folder if the evaluation cannot be resumed.

        Raises:
            DeblurzooError: another process is using the folder.
        """
        take_over(self.out)
        if measured := self._begun():
            return measured
        self._clear()
        write_atomically(self.out / FACTS, self.facts.as_json())
        return 0

    def _clear(self) -> None:
        """Remove everything in the unfinished folder except its lock file."""
        for path in self.out.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()

    def _begun(self) -> int:
        """Return the number of samples measured by an unfinished evaluation with the same metadata, or 0."""
        if not (self.out / FACTS).is_file():
            return 0
        try:
            begun, rows = checked(json.loads((self.out / FACTS).read_bytes()), Facts), _read_rows(self._rows)
            names = [(sample.clip, sample.frame) for sample in self.samples[: len(rows)]]
            if _decisive(begun) == _decisive(self.facts) and names == [(row.clip, row.frame) for row in rows]:
                self.facts = self.facts.model_copy(update={"threads": begun.threads})
                return len(rows)
            reason = "is from an evaluation with different options"
        except (ValueError, RecursionError) as error:
            reason = f"is corrupt ({error})"
        log.warning("%s %s: restarting the evaluation", self.out, reason)
        return 0

    def computes_with(self, threads: int | None) -> None:
        """Store the number of threads with which the network computes on a CPU; None on other devices."""
        self.facts = self.facts.model_copy(update={"threads": threads})
        write_atomically(self.out / FACTS, self.facts.as_json())

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start timing one frame."""
        _finish_device_work()
        self._start = time.perf_counter()

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Queue one restored frame (1, 3, H, W) for measuring."""
        _finish_device_work()
        milliseconds = None if self.facts.is_of_images else 1000 * (time.perf_counter() - self._start)
        restored = _picture(to_uint8(outputs, self.rounding))
        blurry, sharp = (_picture(to_uint8(image)) for image in (batch.blur[:, 0], batch.sharp))
        index = self.measured + batch_idx
        sample = self.samples[index]
        assert (sample.clip, sample.frame) == (batch.clip[0], batch.frame[0])
        if sample.is_fed_sharp:
            self._pending.append(self._pool.submit(_do_no_harm, sample, restored, sharp))
        else:
            arguments = (index, milliseconds, blurry, restored, sharp, self._before(index))
            self._pending.append(self._pool.submit(self._measure, *arguments))
            self._last = blurry, restored, sharp
        self._keep(waiting=2 * self._threads)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait until all frames are measured."""
        self._keep(waiting=0)
        self._pool.shutdown()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Cancel all queued frames."""
        self._pool.shutdown(cancel_futures=True)

    def _before(self, index: int) -> Images | None:
        """Return the images of the previous frame of the clip; None if it is not the previous sample."""
        if not index or not follows(self.samples[index], previous := self.samples[index - 1]):
            return None
        if self._last is None:  # the evaluation was resumed
            try:
                restored = read_image(self.out / _frame(previous).image)
            except DeblurzooError as error:
                raise DeblurzooError(f"{self.out} cannot be resumed: {first_line(error)}: remove {self.out}") from error
            self._last = previous.blur[0].read(), restored, previous.sharp.read()
        return self._last

    def _measure(
        self,
        index: int,
        milliseconds: float | None,
        blurry: Image,
        restored: Image,
        sharp: Image,
        previous: Images | None,
    ) -> Row:
        """Measure one frame and write its images; runs in a thread."""
        sample = self.samples[index]
        frame = _frame(sample)
        write_png(self.out / frame.image, restored)
        if self.picture_step and index % self.picture_step == 0:
            write_png(self.out / frame.strip, strip(blurry, restored, sharp))
        references = _Watched((frame.read() for frame in sample.references) if sample.references else [sharp], blurry)
        try:
            after, before = self.measure([restored, blurry], references, self.metrics)
        except ValueError as error:
            raise DeblurzooError(f"{frame.id}: {error}") from error
        if references.has_equal:
            return NothingToRestore(**dict(frame))
        own = {name: measured(name, sharp, sharp) for name in self.metrics if metric(name).no_reference}
        clips = list(zip(previous, (blurry, restored, sharp), strict=True)) if previous else []
        if previous and (errors := warping_errors(clips, previous[2], sharp)):
            before[WARPING], after[WARPING], own[WARPING] = errors
        height, width = restored.shape[:2]
        tiles = self._tiles(sample, blurry, restored, sharp)
        facts = {"height": height, "width": width, "ms": milliseconds}
        return Measured(**dict(frame), **facts, restored=after, blurry=before, sharp=own, tiles=tiles)

    def _tiles(self, sample: Sample, blurry: Image, restored: Image, sharp: Image) -> Tiles | None:
        """Return the tiles of a frame; None if its blur length is unknown or the measure registers images."""
        lengths = tile_lengths(sample, sharp) if self.facts.measure == "plain" else None
        if lengths is None:
            return None
        before, after = (tile_errors(image, sharp).ravel().tolist() for image in (blurry, restored))
        return Tiles(length=lengths.ravel().tolist(), blurry=before, restored=after)

    def _keep(self, waiting: int) -> None:
        """Append measured rows to the file, in order, until at most `waiting` frames are queued."""
        while self._pending and (len(self._pending) > waiting or self._pending[0].done()):
            row = self._pending.popleft().result()
            with self._rows.open("ab") as file:
                file.write(row.as_json() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def rows(self) -> list[Row]:
        """Return the values that are in the file, from which the evaluation resumes."""
        return _read_rows(self._rows)

    def finish(self) -> Results:
        """Move the results to `out`, replacing an earlier evaluation, and return them.

        Raises:
            DeblurzooError: a sample was not measured, or the file of measured rows is corrupt.
        """
        try:
            rows = self.rows()
        except ValueError as error:
            raise DeblurzooError(f"{self._rows} is corrupt ({error}): run the same command again to restart") from error
        if len(rows) != len(self.samples):
            raise DeblurzooError(
                f"{len(rows)} of {len(self.samples)} frames were measured: run the same command again to resume"
            )
        results = Results.of(self.facts, rows)
        write_atomically(self.out / RESULTS, results.as_json(indent=1))
        self.finished.mkdir(parents=True, exist_ok=True)
        (self.finished / RESULTS).unlink(missing_ok=True)
        for name in ("restored", "side_by_side", RESULTS):  # all other files are kept
            if (self.out / name).exists():
                shutil.rmtree(self.finished / name, ignore_errors=True)
                (self.out / name).rename(self.finished / name)
        self._clear()
        release(self.out)
        with suppress(OSError):  # another evaluation may have started in this folder
            self.out.rmdir()
        return results


class _Watched:
    """Iterable of references; `has_equal` records whether one of them is identical to the blurry image."""

    def __init__(self, references: Iterable[Image], blurry: Image) -> None:
        self._references, self._blurry = references, blurry
        self.has_equal = False

    def __iter__(self) -> Iterator[Image]:
        for reference in self._references:
            self.has_equal |= np.array_equal(reference, self._blurry)
            yield reference


def _do_no_harm(sample: Sample, restored: Image, sharp: Image) -> FedSharp:
    """Return the PSNR of a restored sharp frame, which shows whether the network harms sharp input."""
    return FedSharp(**dict(_frame(sample)), psnr=image_psnr(restored, sharp))


def _frame(sample: Sample) -> FrameName:
    return FrameName(clip=sample.clip, frame=sample.frame)


def _read_rows(file: Path) -> list[Row]:
    """Return the rows of a file, after truncating an incomplete last line of a killed process.

    Raises:
        ValueError: the file is corrupt.
    """
    if not file.is_file():
        return []
    whole = file.read_bytes()
    end = whole.rfind(b"\n") + 1
    os.truncate(file, end)
    return [row_of(line) for line in whole[:end].splitlines()]


def _decisive(facts: Facts) -> Facts:
    """Return the metadata on which an evaluation decides: all except the threads and the config of the data module."""
    return facts.model_copy(update={"config": {**facts.config, "datamodule": None}, "threads": None})


def _picture(image: torch.Tensor) -> Image:
    """Return a uint8 image (1, 3, H, W) as an array (H, W, 3) on the CPU."""
    return np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy())


def _finish_device_work() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
