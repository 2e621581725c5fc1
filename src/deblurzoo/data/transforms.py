"""Augmentation of training samples. All images of a sample are transformed alike."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from pydantic import AfterValidator, ConfigDict, Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from deblurzoo.media import Image
from deblurzoo.records import ordered
from deblurzoo.synthesis.extra_blur import ExtraBlur

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # disables the update check of albumentations
import albumentations as A

Share = Annotated[float, Field(gt=0, le=1)]


Quality = Annotated[float, Field(ge=1, le=100)]


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of training samples, applied in the order of the arguments.

    Args:
        crop: side of the square crop in pixels.
        zoom: range of the random factor by which a larger square is downscaled (antialiased) to the crop; None to
            disable.
        rot90: whether to rotate by a random multiple of 90 degrees.
        flip: whether to flip horizontally with probability 0.5.
        permute_channels: whether to apply a random permutation of R, G, B.
        extra_blur: additional blur for the samples of some data sets; None to disable.
        noise: range of the standard deviation of Gaussian noise in the blurry frames, in 8-bit levels; None to disable.
        jpeg: range of the JPEG quality of the blurry frames; None to disable.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    crop: PositiveInt
    zoom: Annotated[tuple[Share, Share], AfterValidator(ordered)] | None = None
    rot90: bool = False
    flip: bool = False
    permute_channels: bool = False
    extra_blur: ExtraBlur | None = None
    noise: Annotated[tuple[NonNegativeFloat, NonNegativeFloat], AfterValidator(ordered)] | None = None
    jpeg: Annotated[tuple[Quality, Quality], AfterValidator(ordered)] | None = None

    def compose(self, images: int, margin: int | None = None, factor: float = 1.0) -> A.Compose:
        """Return the albumentations pipeline for samples of `images` images; its crops include the margin.

        Cropping comes first, so that only the pixels of the crop are read from a packed frame. For the keys of the
        pipeline, see `names`.

        Args:
            images: number of images.
            margin: width of the border around the crop in pixels, by default `self.margin`.
            factor: factor by which images are reduced in addition to the zoom.
        """
        side = self.crop + 2 * (self.margin if margin is None else margin)
        steps: list[A.BasicTransform] = [A.RandomCrop(side, side)]
        if self.zoom is not None or factor < 1:
            least, most = self.zoom or (1.0, 1.0)
            sides = (round(side / (factor * most)), round(side / (factor * least)))
            steps = [ZoomedCrop(min_max_height=sides, size=(side, side), interpolation=cv2.INTER_AREA)]
        if self.rot90:
            steps.append(A.RandomRotate90(p=1))
        if self.flip:
            steps.append(A.HorizontalFlip(p=0.5))
        if self.permute_channels:
            steps.append(A.ChannelShuffle(p=1))
        return A.Compose(steps, additional_targets=dict.fromkeys(names(images)[1:], "image"))

    def smallest_side(self, margin: int | None = None, factor: float = 1.0) -> int:
        """Return the minimum height and width of an image in pixels; for the arguments, see `compose`."""
        side = self.crop + 2 * (self.margin if margin is None else margin)
        return round(side / (factor * (self.zoom[0] if self.zoom else 1)))

    def camera(self, shape: Sequence[int], seed: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the noise of frames (T, 3, H, W) and their JPEG quality, see `Batch`; each is None if disabled."""
        rng = np.random.default_rng([seed, 1])
        noise = quality = None
        if self.noise is not None:
            levels = rng.uniform(*self.noise) * rng.standard_normal(shape, np.float32)
            noise = torch.from_numpy(levels.astype(np.float16))
        if self.jpeg is not None:
            quality = torch.tensor(rng.uniform(*self.jpeg), dtype=torch.float32)
        return noise, quality

    @property
    def margin(self) -> int:
        """Width in pixels of the border around the crop. Extra blur can move pixels of the border into the crop."""
        return self.extra_blur.margin if self.extra_blur else 0


class ZoomedCrop(A.RandomSizedCrop):  # type: ignore[misc]
    """Random square crop, downscaled to `size`. The scale factor, not the side of the square, is drawn uniformly."""

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Return the crop coordinates in an image of shape `params["shape"]`."""
        least, most = self.min_max_height
        side = round(1 / self.py_random.uniform(1 / most, 1 / least))
        height, width = params["shape"][:2]
        top, left = self.py_random.randint(0, height - side), self.py_random.randint(0, width - side)
        return {"crop_coords": (left, top, left + side, top + side)}


def names(images: int) -> list[str]:
    """Return the pipeline's keys for `images` images. Stacking the images would copy them at full size."""
    return ["image", *(f"image{number}" for number in range(1, images))]


def cropped(pipeline: A.Compose, images: list[Image], seed: int) -> Image:
    """Return the images (N, H, W, 3) of a pipeline made by `Augmentation.compose`, with the margin around the crop."""
    pipeline.set_random_seed(seed)
    keys = names(len(images))
    transformed = pipeline(**dict(zip(keys, images, strict=True)))
    stack: Image = np.stack([transformed[key] for key in keys])
    return stack
