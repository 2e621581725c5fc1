"""Sizes of the frames of a data set, looked at before anything is trained or measured."""

from functools import cache

from deblurzoo.data.clips import Sample
from deblurzoo.data.frames import Frame
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import DeblurzooError


def require_sizes(samples: list[Sample], augmentation: Augmentation | None = None) -> None:
    """Look at the headers of all frames: a mistake shows before training, not after hours.

    Raises:
        DeblurzooError: the frames of a sample differ in size, or one is too small for the augmentation.
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
                f"with zoom {augmentation.zoom} (at least {least} is needed): set a smaller crop"
            )


def other_size(frame: Frame, size: tuple[int, int], other: Frame, others: tuple[int, int]) -> DeblurzooError:
    """Return what is said of two frames of a sample whose widths and heights differ."""
    return DeblurzooError(
        f"{frame} is {size[0]}x{size[1]} but {other} is {others[0]}x{others[1]}: "
        "frames of one sample must have one size"
    )


def _size(frame: Frame) -> tuple[int, int]:
    return frame.size()
