"""Checks of image sizes before training and evaluation."""

import logging
from functools import cache

from deblurzoo.data.clips import Sample
from deblurzoo.data.frames import Frame
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import DeblurzooError, few_of
from deblurzoo.synthesis.stills import PhotoBlur, reduction

log = logging.getLogger(__name__)

_REMEDY = "set a smaller datamodule.augmentation.crop or data.length, a larger data.shorter_side, or larger photos"


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


def large_enough(samples: list[Sample], augmentation: Augmentation) -> list[Sample]:
    """Return the samples without the photos that are unreadable or smaller than a crop and its margin, with a warning.

    Raises:
        DeblurzooError: no sample is left.
    """
    problems = {
        sample.sharp: _too_small(sample, sample.simulated, augmentation) for sample in samples if sample.simulated
    }
    if found := [problem for problem in problems.values() if problem]:
        log.warning("%d of %d photos are left out: %s: %s", len(found), len(problems), few_of(found), _REMEDY)
    kept = [sample for sample in samples if not problems.get(sample.sharp)]
    if not kept:
        raise DeblurzooError(f"no photo can be used: {few_of(found)}: {_REMEDY}")
    return kept


def _too_small(sample: Sample, blur: PhotoBlur, augmentation: Augmentation) -> str | None:
    """Return the reason why a photo cannot be used, or None."""
    try:
        width, height = sample.sharp.size()
    except DeblurzooError as error:
        return str(error)
    least = augmentation.smallest_side(
        blur.shake.margin(len(sample.blur)), reduction((height, width), blur.shorter_side)
    )
    if min(width, height) >= least:
        return None
    return f"{sample.sharp} is {width}x{height}, smaller than {least} pixels, which a crop and its margin require"


def other_size(frame: Frame, size: tuple[int, int], other: Frame, others: tuple[int, int]) -> DeblurzooError:
    """Return the error for two frames of a sample with different sizes. A size is (width, height)."""
    return DeblurzooError(
        f"{frame} is {size[0]}x{size[1]} but {other} is {others[0]}x{others[1]}: "
        "all frames of a sample must have the same size"
    )


def _size(frame: Frame) -> tuple[int, int]:
    return frame.size()
