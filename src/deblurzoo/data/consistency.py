"""Temporal consistency: the difference between consecutive frames along the motion of the sharp frames."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurzoo.data.clips import Sample
from deblurzoo.media import Floats, Image
from deblurzoo.synthesis.interpolation import SMALLEST_SIDE, flow_between, sampled

# Measured: 0.83 to 0.89 for consecutive frames of GOPRO with motion of up to 59 pixels, 0.02 to 0.08 for unrelated
# images (Kodak).
LEAST_VISIBLE = 0.5
"""Minimum share of the pixels that must be visible in both frames."""


def follows(sample: Sample, previous: Sample) -> bool:
    """Whether the frame of a sample is the next frame of the clip after the frame of another sample."""
    return sample.clip == previous.clip and previous.sharp in sample.neighbours


def warping_errors(
    clips: Sequence[tuple[Image, Image]], previous_sharp: Image, sharp: Image
) -> tuple[float, ...] | None:
    """Return the warping error of each clip of two consecutive frames, in levels from 0 to 255.

    The error is the root mean squared difference between the second frame and the first frame warped to it, over all
    channels and all pixels that are visible in both frames. The flow between the sharp frames decides where points
    move and which are visible, so that all clips are compared at the same points. Like the warping error of Lai et
    al., "Learning Blind Video Temporal Consistency", ECCV 2018, apart from the root and from their flow network, which
    reads the input.

    Args:
        clips: the previous and the current image of the same frames, all uint8 (H, W, 3).
        previous_sharp, sharp: the sharp images of these frames.

    Returns:
        The errors, or None if the frames are too small for optical flow or differ in size, or if less than
        `LEAST_VISIBLE` of the pixels are visible in both, as after a cut.
    """
    if previous_sharp.shape != sharp.shape or min(sharp.shape[:2]) < SMALLEST_SIDE:
        return None
    flow, back = flow_between(sharp, previous_sharp), flow_between(previous_sharp, sharp)
    places = flow + _pixels(flow)
    visible = _visible(flow, sampled(back, places), places)
    if visible.mean() < LEAST_VISIBLE:
        return None
    return tuple(_difference(current, sampled(previous, places), visible) for previous, current in clips)


def _pixels(flow: Floats) -> Floats:
    """Return the position (H, W, 2) of each pixel, x and y."""
    height, width = flow.shape[:2]
    return np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))


def _visible(flow: Floats, back: Floats, places: Floats) -> NDArray[np.bool_]:
    """Return which pixels (H, W) lead into the other image and back, with the thresholds of Ruder et al., GCPR 2016."""
    height, width = flow.shape[:2]
    inside = ((places >= 0) & (places <= (width - 1, height - 1))).all(axis=2)
    distance, lengths = (np.square(one).sum(axis=2) for one in (flow + back, np.dstack([flow, back])))
    return np.asarray(inside & (distance <= 0.01 * lengths + 0.5))


def _difference(current: Image, warped: Image, visible: NDArray[np.bool_]) -> float:
    squares = np.square(cv2.subtract(current, warped, dtype=cv2.CV_32F)[visible])
    return float(np.sqrt(squares.mean(dtype=np.float64)))
