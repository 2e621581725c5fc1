"""Checks of image sizes before training and evaluation."""

from functools import cache

from deblurzoo.data.clips import Sample
from deblurzoo.data.frames import Frame
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import DeblurzooError


def require_sizes(samples: list[Sample], augmentation: Augmentation | None = None) -> None:
    """Check the image sizes of all samples, read from file headers, before training starts.

    Raises:
        DeblurzooError: the frames of a sample differ in size, or a frame is too small for the augmentation.
    """
    size = cache(_size)
    least = augmentation.smallest_side() if augmentation else 0
    for sample in samples:
        width, height = size(sample.sharp)
        for frame in sample.blur:
            if size(frame) != (width, height):
                raise other_size(frame, size(frame), sample.sharp, (width, height))
        if augmentation and min(width, height) < least:
            raise DeblurzooError(
                f"{sample.sharp} is {width}x{height}, too small for datamodule.augmentation.crop={augmentation.crop} "
                f"with zoom {augmentation.zoom}, which requires at least {least} pixels per side: set a smaller crop"
            )


def other_size(frame: Frame, size: tuple[int, int], other: Frame, others: tuple[int, int]) -> DeblurzooError:
    """Return the error for two frames of a sample with different sizes. A size is (width, height)."""
    return DeblurzooError(
        f"{frame} is {size[0]}x{size[1]} but {other} is {others[0]}x{others[1]}: "
        "all frames of a sample must have the same size"
    )


def _size(frame: Frame) -> tuple[int, int]:
    return frame.size()
