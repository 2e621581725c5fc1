"""Augmentation: every image of a sample is transformed alike."""

import os
from dataclasses import dataclass

import cv2
import numpy as np

from deblurzoo.data.images import Image
from deblurzoo.errors import DeblurzooError, require_at_least
from deblurzoo.synthesis.extra_blur import ExtraBlur

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the package index for news on every import
import albumentations as A


@dataclass(frozen=True)
class Augmentation:
    """What is done to a training sample, in this order.

    Args:
        crop: side of the square crop in pixels.
        zoom: range of the factor by which the frames are shrunk before the crop (antialiased); None for no zoom.
        rot90: rotate by a random multiple of 90 degrees.
        flip: mirror horizontally with probability 0.5.
        permute_channels: one of the six orders of R, G, B.
        extra_blur: more blur for the pictures of some data sets; None for no data set.
    """

    crop: int
    zoom: tuple[float, float] | None = None
    rot90: bool = False
    flip: bool = False
    permute_channels: bool = False
    extra_blur: ExtraBlur | None = None

    def __post_init__(self) -> None:
        require_at_least("loader.augmentation.crop", self.crop, 1)
        zoom = (1.0, 1.0) if self.zoom is None else self.zoom
        if not isinstance(zoom, list | tuple) or len(zoom) != 2 or not 0 < zoom[0] <= zoom[1] <= 1:
            raise DeblurzooError(
                f"loader.augmentation.zoom={zoom} must be a range within (0, 1], e.g. [0.5,1.0], or null"
            )

    def compose(self) -> A.Compose:
        """Build the albumentations pipeline; it takes and gives `images=(N, H, W, 3)` uint8, crops with margins."""
        steps: list[A.BasicTransform] = []
        if self.zoom is not None:
            low, high = self.zoom
            steps.append(A.RandomScale((low - 1, high - 1), interpolation=cv2.INTER_AREA, p=1))
        steps.append(A.RandomCrop(self.crop + 2 * self.margin, self.crop + 2 * self.margin))
        if self.rot90:
            steps.append(A.RandomRotate90(p=1))
        if self.flip:
            steps.append(A.HorizontalFlip(p=0.5))
        if self.permute_channels:
            steps.append(A.ChannelShuffle(p=1))
        return A.Compose(steps)

    def smallest_side(self) -> int:
        """Return the smallest height or width that a frame may have."""
        side = self.crop + 2 * self.margin
        return int(np.ceil((side + 0.5) / self.zoom[0])) if self.zoom else side

    @property
    def margin(self) -> int:
        """Pixels around the crop that extra blur moves into it."""
        return self.extra_blur.margin if self.extra_blur else 0


def apply(augmentation: Augmentation, pipeline: A.Compose, images: list[Image], dataset: str, seed: int) -> Image:
    """Transform the images of a sample, blurry ones first, as a function of `seed`; return (N, crop, crop, 3)."""
    pipeline.set_random_seed(seed)
    stack: Image = pipeline(images=np.stack(images))["images"]
    if augmentation.extra_blur and dataset in augmentation.extra_blur.datasets:
        stack = augmentation.extra_blur(stack, seed)
    inside = slice(augmentation.margin, augmentation.margin + augmentation.crop)
    return stack[:, inside, inside]
