"""Interpolation of video frames by optical flow, for blur without ghosting from videos of ordinary frame rates."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Floats, Image

SMALLEST_SIDE = 32
"""Minimum height and width in pixels, required by the coarsest scale of the optical flow."""

# Measured on GOPRO's raw video (GOPR0477_11_00, 240 frames per second, at 1280x720 and at 426x240): the PSNR of the
# interpolated middle frame is 31 to 36 dB if the motion is at most 0.033 of the width. It is 25 to 31 dB if the motion
# is at least 0.036 of the width; some of these frames are no better than the mean of the two given frames. Between
# unrelated images (a cut), the motion is at least 0.07 of the width.
LARGEST_MOTION = 0.035
"""Maximum motion between two frames that can be interpolated reliably, as a fraction of the frame's longer side."""


def motion(first: Image, second: Image) -> float:
    """Return the motion between two frames (H, W, 3) in pixels: the 95th percentile of the optical flow's length.

    Raises:
        DeblurzooError: the frames differ in size, or are too small.
    """
    return float(np.percentile(np.linalg.norm(flow_between(first, second), axis=2), 95))


def flow_between(first: Image, second: Image) -> Floats:
    """Return the flow (H, W, 2) in pixels, x and y: the point at p in `first` is at p + flow in `second`.

    Reference: DIS, Kroeger et al., ECCV 2016.

    Raises:
        DeblurzooError: the frames differ in size, or are too small.
    """
    if first.shape != second.shape or min(first.shape[:2]) < SMALLEST_SIDE:
        sizes = " and ".join(f"{frame.shape[1]}x{frame.shape[0]}" for frame in (first, second))
        raise DeblurzooError(
            f"frames of {sizes} pixels: both sizes must be equal, and at least {SMALLEST_SIDE}x{SMALLEST_SIDE}"
        )
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    return np.asarray(search.calc(grey[0], grey[1], None), np.float32)  # type: ignore[call-overload]


def in_between(first: Image, second: Image, times: Sequence[float]) -> list[Image]:
    """Return the frames (H, W, 3) at `times` between 0 (`first`) and 1 (`second`), both exclusive, in RGB uint8.

    Every point moves at constant speed along its flow. Each result is a weighted mean of both frames, which are warped
    to the time of the result; the frame that is nearer in time has the larger weight. A point that is occluded or
    outside the image in one frame is taken from the other frame.

    Raises:
        DeblurzooError: a time is not between 0 and 1, or the frames do not match (see `flow_between`).
    """
    if not all(0 < time < 1 for time in times):
        raise DeblurzooError(f"times={list(times)} must be between 0 and 1, both exclusive")
    forward, backward = flow_between(first, second), flow_between(second, first)
    frames = []
    for time in times:
        (early, sure), (late, certain) = _arrive(first, forward, time), _arrive(second, backward, 1 - time)
        weight = (1 - time) * sure
        share = (weight / (weight + time * certain))[..., None]
        frames.append((share * early + (1 - share) * late).round().astype(np.uint8))
    return frames


def _arrive(frame: Image, flow: Floats, time: float) -> tuple[Image, Floats]:
    """Return `frame` warped by a fraction `time` of its flow, and the confidence of each pixel, (H, W) in (0, 1].

    The point that arrives at p comes from q with q + time * flow(q) = p, found by fixed-point iteration. In uncovered
    regions, no such q exists: the iteration does not converge, and the length of its last step lowers the confidence.
    """
    height, width = flow.shape[:2]
    here = np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))
    origin, step = here, -np.float32(time) * flow
    for _ in range(4):
        origin = origin + step
        step = here - np.float32(time) * sampled(flow, origin) - origin
    inside = ((origin > -0.5) & (origin < (width - 0.5, height - 0.5))).all(axis=2)
    sure = inside / (1 + np.square(step).sum(axis=2) / 10)
    return sampled(frame, origin), np.asarray(sure.clip(1e-3), np.float32)


def sampled(picture: NDArray[Any], places: Floats) -> NDArray[Any]:
    """Return the values of an array (H, W, C) at places (H, W, 2), x and y, interpolated linearly."""
    x, y = cv2.split(places)
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
