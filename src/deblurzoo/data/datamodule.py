"""The Lightning data module, shared by all data sets and networks."""

import logging
from collections.abc import Mapping
from functools import cache, cached_property, partial
from typing import Annotated, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deblurzoo.batch import Batch
from deblurzoo.data.batches import BatchLoader, default_workers
from deblurzoo.data.blur_length import read_motion
from deblurzoo.data.clips import NEIGHBOURS, Sample, Source
from deblurzoo.data.exposing import unblurred, unrendered
from deblurzoo.data.fingerprint import describe
from deblurzoo.data.frames import Frame
from deblurzoo.data.joined import Joined
from deblurzoo.data.sampling import Mixture, Shuffle, StepSampler, sample_seed
from deblurzoo.data.sizes import large_enough, other_size, require_sizes
from deblurzoo.data.transforms import Augmentation, cropped
from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.records import Record, first_problem
from deblurzoo.synthesis.stills import PhotoBlur, expose_photo, reduction

log = logging.getLogger(__name__)


def _read(sample: Sample) -> list[Image]:
    """Return the T blurry images of a sample and then its sharp image; raise a DeblurzooError if sizes differ."""
    sharp = sample.sharp.read()
    images = [frame.read() for frame in sample.blur]
    for frame, image in zip(sample.blur, images, strict=True):
        if image.shape != sharp.shape:
            raise other_size(frame, image.shape[1::-1], sample.sharp, sharp.shape[1::-1])
    return [*images, sharp]


def _as_batch(sample: Sample, images: Image) -> Batch:
    """Convert (T+1, H, W, 3) uint8 to a sample without batch dimension. Pixels are scaled later, on the device."""
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    return Batch(tensor[:-1], tensor[-1], sample.clip, sample.frame)


def _flow(sample: Sample) -> Tensor | None:
    """Return the true flow (2, H, W) float32 from the frame to restore to the next, if it is known.

    Raises:
        DeblurzooError: the file is corrupt.
    """
    if sample.flow is None or len(sample.blur) == 1:
        return None
    width, height = sample.sharp.size()
    return torch.from_numpy(read_motion(sample.flow, (2, height, width)))


class _Known(Record):
    """Position in the training samples, stored in checkpoints: a step and the number of its first sample."""

    step: NonNegativeInt
    sample: NonNegativeInt


def _require_blur(samples: list[Sample]) -> None:
    """Raise a DeblurzooError unless the images of some pair differ. Reading stops at the first such pair."""
    if all(np.array_equal(sample.blur[0].read(), sample.sharp.read()) for sample in samples):
        raise DeblurzooError(
            f"there is nothing to restore: in all {len(samples)} validation pairs, the blurry and the sharp image are "
            "identical: check that blur and sharp are different folders"
        )


class TrainingCrops(Dataset[Batch]):
    """Endless data set of augmented crops, indexed by sample number (see `StepSampler`)."""

    def __init__(self, samples: list[Sample], augmentation: Augmentation, seed: int) -> None:
        self.samples, self.augmentation, self.seed = samples, augmentation, seed
        self.order = Shuffle(seed, len(samples))
        self.pipeline = augmentation.compose(images=len(samples[0].blur) + 1)
        self.photo_pipeline = cache(partial(augmentation.compose, 1))
        self.unreadable: set[Frame] = set()

    def __getitem__(self, number: int) -> Batch:
        """Return sample `number`: uint8 crops (T, 3, h, w) and (3, h, w), of photos still to be rendered.

        A photo that cannot be read is replaced by the next sample, with a warning.
        """
        first, seed = self.order[number], sample_seed(self.seed, number)
        for index in range(first, first + len(self.samples)):
            sample = self.samples[index % len(self.samples)]
            try:
                batch = self._photo(sample, sample.simulated, seed) if sample.simulated else self._crops(sample, seed)
                noise, quality = self.augmentation.camera(batch.blur.shape, seed)
                return batch._replace(noise=noise, quality=quality)
            except DeblurzooError as error:
                if not sample.simulated:
                    raise
                failure = error
            if sample.sharp not in self.unreadable:
                log.warning("left out: %s", failure)
                self.unreadable.add(sample.sharp)
        raise failure

    def _crops(self, sample: Sample, seed: int) -> Batch:
        """Return augmented crops; with extra blur, their pixels are undefined until it is added."""
        augmentation, extra = self.augmentation, self.augmentation.extra_blur
        stack = cropped(self.pipeline, _read(sample), seed)
        inside = slice(augmentation.margin, augmentation.margin + augmentation.crop)
        batch = _as_batch(sample, stack[:, inside, inside])
        if extra and sample.dataset in extra.datasets:
            return batch._replace(unblurred=unblurred(extra, stack, seed))
        return batch

    def _photo(self, sample: Sample, blur: PhotoBlur, seed: int) -> Batch:
        """Return the exposures of a photo; the pixels of `blur` and `sharp` are undefined until they are rendered."""
        photo, frames = sample.sharp.read(), len(sample.blur)
        margin = blur.shake.margin(frames)
        pipeline = self.photo_pipeline(margin, reduction((photo.shape[0], photo.shape[1]), blur.shorter_side))
        rng = np.random.default_rng(seed)
        response = blur.responses[rng.integers(len(blur.responses))]
        crop = np.ascontiguousarray(cropped(pipeline, [photo], seed)[0])
        drawn = expose_photo(crop, rng, blur.shake, NEIGHBOURS[frames], margin)
        empty = torch.empty(frames + 1, 3, *drawn.size, dtype=torch.uint8)
        return Batch(empty[:-1], empty[-1], sample.clip, sample.frame, unrendered=unrendered(drawn, response))


class Mixed(Dataset[Batch]):
    """Endless data set that draws from several data sets by weight, indexed by sample number (see `Mixture`).

    Args:
        parts: endless data sets by key. Each clip name is prefixed with the key of its data set.
        weights: positive weight of each data set.
        seed: seed of the order of the data sets.
    """

    def __init__(self, parts: Mapping[str, "TrainingCrops | Mixed"], weights: Mapping[str, float], seed: int) -> None:
        self.parts = parts
        self.samples: list[Sample] = [sample for part in parts.values() for sample in part.samples]
        self.order = Mixture(seed, weights)

    def __getitem__(self, number: int) -> Batch:
        """Return sample `number`."""
        key, own = self.order[number]
        sample = self.parts[key][own]
        return sample._replace(clip=f"{key}_{sample.clip}")


def training_crops(source: Source, frames: int, augmentation: Augmentation, seed: int) -> TrainingCrops | Mixed:
    """Return the training samples of a data set; raise a DeblurzooError if an image size is unsuitable."""
    if isinstance(source, Joined) and source.weights:
        parts = {
            key: training_crops(part, frames, augmentation, sample_seed(seed, index))
            for index, (key, part) in enumerate(source.datasets["train"].items())
        }
        return Mixed(parts, source.weights, seed)
    samples = large_enough(source.samples("train", frames), augmentation)
    require_sizes([sample for sample in samples if not sample.simulated], augmentation)
    return TrainingCrops(samples, augmentation, seed)


class FullFrames(Dataset[Batch]):
    """Full-size frames in the order of the samples."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        """Return uint8 frames (T, 3, H, W) and (3, H, W)."""
        sample = self.samples[index]
        return _as_batch(sample, np.stack(_read(sample)))._replace(flow=_flow(sample))


def evenly_spaced(samples: list[Sample], count: int) -> list[Sample]:
    """Return `count` evenly spaced samples, or all samples if there are fewer."""
    picks = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[i] for i in picks]


class DeblurDataModule(pl.LightningDataModule):
    """Data module of a data set, for a network with `frames` input frames.

    Args:
        source: the data set.
        frames: T, the number of consecutive frames that the network reads.
        seed: seed of sampling and augmentation.
        batch_size: total number of training samples per step over all devices.
        augmentation: augmentation of the training samples.
        val_frames: number of validation frames during training, evenly spaced over the test split.
        workers: number of data-loader workers; None for `default_workers()`, 0 to load in the training process.
        no_harm: number of evenly spaced test samples that are restored again with their sharp frames as input, see
            "Do no harm" in docs/protocols.md.
    """

    measured = 0
    """Number of test samples that a resumed evaluation skips, because they have been measured."""

    test_samples: list[Sample] = []  # noqa: RUF012 - replaced, never changed
    """The samples to test; `setup` keeps samples that are set before."""

    _known = (0, 0)
    """A step and the number of its first sample; restored from a checkpoint."""

    def __init__(
        self,
        source: Source,
        frames: int,
        seed: int,
        batch_size: Annotated[int, Field(gt=0, le=100_000)],
        augmentation: Augmentation,
        val_frames: PositiveInt = 32,
        workers: Annotated[int, Field(ge=0, le=256)] | None = None,
        no_harm: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        self.source, self.frames, self.seed = source, frames, seed
        self.batch_size, self.val_frames = batch_size, val_frames
        self.augmentation = augmentation
        self.no_harm = no_harm
        self.workers = default_workers() if workers is None else workers

    def training_crops(self) -> TrainingCrops | Mixed:
        """Return the training samples; raise a DeblurzooError if an image size is unsuitable."""
        crops = training_crops(self.source, self.frames, self.augmentation, self.seed)
        extra = self.augmentation.extra_blur
        if extra and not any(sample.dataset in extra.datasets for sample in crops.samples):
            log.warning("extra_blur has no effect: no training sample is from %s", ", ".join(extra.datasets))
        return crops

    def setup(self, stage: str) -> None:
        """List and check the samples that `stage` requires."""
        if stage == "fit":
            self.crops = self.training_crops()
        if stage in ("fit", "validate"):
            self.val_samples = evenly_spaced(self.source.samples("test", self.frames), self.val_frames)
            require_sizes(self.val_samples)
            _require_blur(self.val_samples)
        if stage == "test" and not self.test_samples:
            held_out = self.source.samples("test", self.frames)
            harmless = [sample.fed_sharp() for sample in evenly_spaced(held_out, self.no_harm)]
            self.test_samples = [*held_out, *harmless]
            require_sizes(self.test_samples)

    @cached_property
    def trained_on(self) -> dict[str, str]:
        """Description of the training images, see `describe`."""
        return describe(self.source, "train", self.crops.samples)

    @property
    def measured_on(self) -> dict[str, str]:
        """Description of the test images, see `describe`: of the restored frames, for any number of input frames."""
        restored = (sample for sample in self.test_samples if not sample.is_fed_sharp)
        return describe(self.source, "test", [sample.single() for sample in restored])

    def require_shares(self, devices: int) -> None:
        """Raise a DeblurzooError unless batches divide equally among the devices and each gets a validation frame."""
        if self.batch_size % devices:
            raise DeblurzooError(
                f"datamodule.batch_size={self.batch_size} cannot be split equally between {devices} devices: set a "
                f"multiple of {devices}, or a different number of trainer.devices"
            )
        if len(self.val_samples) < devices:
            raise DeblurzooError(
                f"{len(self.val_samples)} validation frames are too few for {devices} devices, which need at least one "
                f"each: set datamodule.val_frames={devices}, or fewer trainer.devices"
            )

    def _loader(self, dataset: Dataset[Batch], **arguments: Any) -> DataLoader[Batch]:
        return BatchLoader(dataset, self.workers, pin_memory=torch.cuda.is_available(), **arguments)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of training batches, starting at the trainer's current step."""
        trainer = self.trainer
        assert trainer is not None
        start = trainer.global_step * trainer.accumulate_grad_batches
        sampler = StepSampler(
            self.batch_size,
            start,
            stop=trainer.max_steps * trainer.accumulate_grad_batches,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            shift=self.first_sample(trainer.global_step) - start * self.batch_size,
        )
        return self._loader(self.crops, batch_sampler=sampler)

    def first_sample(self, step: int) -> int:
        """Return the number of the first sample of a step, which is the number of samples of all earlier steps."""
        assert self.trainer is not None
        known_step, known_sample = self._known
        return known_sample + (step - known_step) * self.trainer.accumulate_grad_batches * self.batch_size

    def state_dict(self) -> dict[str, int]:
        """Return the position in the samples, so that a run can resume with a different batch size."""
        assert self.trainer is not None
        step = self.trainer.global_step
        return {"step": step, "sample": self.first_sample(step)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore the position in the samples from a checkpoint."""
        try:
            known = _Known.model_validate(state_dict)
        except ValidationError as error:
            raise DeblurzooError(f"the checkpoint's data position is corrupt ({first_problem(error)})") from error
        self._known = known.step, known.sample

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of validation frames, one frame per batch. Each process loads different frames."""
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        ends = [share * len(self.val_samples) // world_size for share in (rank, rank + 1)]
        return self._loader(FullFrames(self.val_samples[slice(*ends)]), batch_size=1)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the test samples and then the `no_harm` samples, one sample per batch."""
        return self._loader(FullFrames(self.test_samples[self.measured :]), batch_size=1)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Scale uint8 to [0, 1] on the device, and render the degradation that the workers have drawn.

        Batches are transferred as uint8, which is smaller than float.
        """

        def scale(images: Tensor) -> Tensor:
            return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)

        batch = batch._replace(blur=scale(batch.blur), sharp=scale(batch.sharp))
        if all(part is None for part in (batch.unrendered, batch.unblurred, batch.noise, batch.quality)):
            return batch
        from deblurzoo.data.degrade import degraded  # deferred: kornia takes a second to import

        return degraded(batch)
