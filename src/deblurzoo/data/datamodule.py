"""How frames are read: one data module for every data set and every network."""

import logging
import os
import signal
import sys
import threading
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deblurzoo.batch import Batch
from deblurzoo.data.clips import ClipSource, Sample
from deblurzoo.data.images import Image, read_image
from deblurzoo.data.sampling import Shuffle, StepSampler, sample_seed
from deblurzoo.data.transforms import Augmentation, apply
from deblurzoo.errors import DeblurzooError, require_at_least

log = logging.getLogger(__name__)


def _read(sample: Sample) -> list[Image]:
    """Return the T blurry frames and the sharp one, all of one size."""
    paths = [*sample.blur, sample.sharp]
    images = [read_image(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            height, width = image.shape[:2]
            raise DeblurzooError(
                f"{path} is {width}x{height} but {paths[0]} is {images[0].shape[1]}x{images[0].shape[0]}: "
                "frames of one sample must have one size"
            )
    return images


def _as_batch(sample: Sample, images: Image) -> Batch:
    """Turn (T+1, H, W, 3) uint8 into a sample without batch dimension; it is scaled to [0, 1] on the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return Batch(tensor[:-1], tensor[-1], sample.clip, sample.frame)


class TrainingCrops(Dataset[Batch]):
    """Augmented crops, indexed by sample number (see `StepSampler`), without end."""

    def __init__(self, samples: list[Sample], augmentation: Augmentation, seed: int) -> None:
        self.samples, self.augmentation, self.seed = samples, augmentation, seed
        self.order = Shuffle(seed, len(samples))
        self.pipeline = augmentation.compose()
        extra = augmentation.extra_blur
        if extra and not any(sample.dataset in extra.datasets for sample in samples):
            log.warning("no picture gets extra blur: none is of %s", ", ".join(extra.datasets))

    def __getitem__(self, number: int) -> Batch:
        """Return sample number `number`: uint8 crops (T, 3, h, w) and (3, h, w)."""
        sample = self.samples[self.order[number]]
        images = _read(sample)
        height, width = images[0].shape[:2]
        if min(height, width) < self.augmentation.smallest_side():
            raise DeblurzooError(
                f"{sample.sharp} is {width}x{height}, too small for loader.augmentation.crop={self.augmentation.crop} "
                f"with zoom {self.augmentation.zoom}: set a smaller crop"
            )
        seed = sample_seed(self.seed, number)
        return _as_batch(sample, apply(self.augmentation, self.pipeline, images, sample.dataset, seed))


class FullFrames(Dataset[Batch]):
    """Whole frames in the order of the clips."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        """Return uint8 frames (T, 3, H, W) and (3, H, W)."""
        sample = self.samples[index]
        return _as_batch(sample, np.stack(_read(sample)))


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


def default_workers() -> int:
    """Return a number of reading processes for this machine: half its cores, between 1 and 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(8, cores // 2))


class DeblurDataModule(pl.LightningDataModule):
    """Reads a data set for a network of `frames` frames.

    Args:
        source: the data set.
        frames: T, how many consecutive frames the network reads.
        seed: of the sampling and the augmentation.
        batch_size: training samples per step, of all devices together.
        augmentation: keyword arguments of `Augmentation`.
        val_frames: how many frames, evenly spaced over the test split, are measured during training.
        workers: reading processes; None chooses by the machine, 0 reads in the training process.
    """

    def __init__(
        self,
        source: ClipSource,
        frames: int,
        seed: int,
        batch_size: int,
        augmentation: dict[str, Any],
        val_frames: int = 32,
        workers: int | None = None,
    ) -> None:
        super().__init__()
        require_at_least("loader.batch_size", batch_size, 1)
        require_at_least("loader.val_frames", val_frames, 1)
        require_at_least("loader.workers", 0 if workers is None else workers, 0)
        self.source, self.frames, self.seed = source, frames, seed
        self.batch_size, self.val_frames = batch_size, val_frames
        self.augmentation = Augmentation(**augmentation)
        self.workers = default_workers() if workers is None else workers

    def setup(self, stage: str) -> None:
        """List the frames of the splits that `stage` needs."""
        if stage == "fit":
            self.train_samples = self.source.samples("train", self.frames)
        if stage in ("fit", "validate"):
            held_out = self.source.samples("test", self.frames)
            picks = np.linspace(0, len(held_out) - 1, min(self.val_frames, len(held_out))).round().astype(int)
            self.val_samples = [held_out[i] for i in picks]
        if stage == "test":
            self.test_samples = self.source.samples("test", self.frames)

    def require_shares(self, devices: int) -> None:
        """Raise a DeblurzooError if not every device gets an equal share of each batch and a validation frame."""
        if self.batch_size % devices:
            raise DeblurzooError(
                f"loader.batch_size={self.batch_size} is the batch of all {devices} devices together, in equal shares: "
                f"set a multiple of {devices}, or another number of trainer.devices"
            )
        if len(self.val_samples) < devices:
            raise DeblurzooError(
                f"{len(self.val_samples)} validation frames are too few for {devices} devices, which share them out: "
                f"set loader.val_frames={devices}, or fewer trainer.devices"
            )

    def _loader(self, dataset: Dataset[Batch], **arguments: Any) -> DataLoader[Batch]:
        return DataLoader(
            dataset,
            num_workers=self.workers,
            worker_init_fn=_start_worker,
            persistent_workers=self.workers > 0,
            # A launcher of several jobs (joblib) sets another start method, which would pickle the pipeline.
            multiprocessing_context="fork" if self.workers and sys.platform == "linux" else None,
            pin_memory=torch.cuda.is_available(),
            **arguments,
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        """Give the batches from the trainer's current step on."""
        trainer = self.trainer
        assert trainer is not None
        sampler = StepSampler(
            self.batch_size,
            start=trainer.global_step * trainer.accumulate_grad_batches,
            stop=trainer.max_steps * trainer.accumulate_grad_batches,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        crops = TrainingCrops(self.train_samples, self.augmentation, self.seed)
        return self._loader(crops, batch_sampler=sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Give this process's share of the fixed validation frames one by one: each is measured once."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        ends = [share * len(self.val_samples) // world_size for share in (rank, rank + 1)]
        return self._loader(FullFrames(self.val_samples[slice(*ends)]), batch_size=1)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Give all frames of the test split one by one."""
        return self._loader(FullFrames(self.test_samples), batch_size=1)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Scale to [0, 1] on the device: bytes travel, not floats."""

        def scale(images: Tensor) -> Tensor:
            return images.float().div_(255)

        return batch._replace(blur=scale(batch.blur), sharp=scale(batch.sharp))
