"""Random motion of cameras and objects during an exposure, and shapes of random objects."""

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Motion = Literal["flow", "length"]
"""Known motion of a pair: the true flow from its sharp image to the next one, or the blur length of its tiles."""


@dataclass(frozen=True)
class Trajectory:
    """Smooth motion of a layer: a shift in pixels, a rotation in radians and a zoom factor per sub-frame."""

    shift: Floats
    """(S, 2), x and y."""
    rotation: Floats
    """(S,)."""
    zoom: Floats
    """(S,)."""


def _smooth(rng: np.random.Generator, steps: int, dimensions: int, period: float) -> Floats:
    """Return sums of sinusoids, (steps, dimensions), with a standard deviation near 1.

    Their periods are 1 to 4 times `period`, in steps.
    """
    time = np.arange(steps)[:, None, None]
    periods = rng.uniform(period, 4 * period, (1, 3, dimensions))
    phases = rng.uniform(0, 2 * np.pi, (1, 3, dimensions))
    weights = rng.normal(size=(1, 3, dimensions)) / np.sqrt(1.5)
    waves: Floats = (weights * np.sin(2 * np.pi * time / periods + phases)).sum(axis=1)
    return waves


def hand_shake(rng: np.random.Generator, steps: int, exposure: int, length: float, period: float = 30) -> Trajectory:
    """Return a random camera trajectory of `steps` sub-frames.

    Its mean path length per exposure (`exposure` sub-frames) is `length` pixels. Direction and speed vary slowly,
    with periods of `period` steps and longer. The mean shift is zero.
    """
    drift, pace, turn, zoom = _smooth(rng, steps, 4, period).T
    heading = rng.uniform(0, 2 * np.pi) + drift
    speed = np.exp(0.1 * pace)
    speed *= length / (exposure - 1) / speed.mean()
    shift = np.cumsum(speed[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
    return Trajectory(shift - shift.mean(axis=0), np.deg2rad(0.4) * turn, 1 + 0.005 * zoom)


def blob(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Return the opacity (side, side), in [0, 1], of a random round shape with soft edges."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    angle = np.arctan2(y, x)
    outline = 0.7 + sum(rng.uniform(-0.08, 0.08) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
    return np.asarray(cv2.GaussianBlur((np.hypot(x, y) < outline).astype(np.float32), (0, 0), 0.7), np.float32)


def strange_patch(rng: np.random.Generator, picture: NDArray[Any], side: int) -> NDArray[np.float32]:
    """Return a round patch of an image, rotated by 180 degrees, with permuted colours.

    The patch is (side, side, 4): RGB in the range of `picture`, and opacity in [0, 1].
    """
    top, left = (rng.integers(0, extent - side + 1) for extent in picture.shape[:2])
    texture = picture[top : top + side, left : left + side, rng.permutation(3)]
    return np.dstack([np.rot90(texture, 2), blob(rng, side)]).astype(np.float32)


def motion_kernel(path: Floats) -> NDArray[np.float32]:
    """Return the blur kernel (k, k), k odd, of a path (S, 2) in pixels. It sums to 1; its centroid is its centre."""
    points = path - path.mean(axis=0)
    middle = int(np.ceil(np.abs(points).max())) + 1
    corner = np.floor(points).astype(int)
    fraction = points - corner
    kernel = np.zeros((2 * middle + 1, 2 * middle + 1))
    for dx in (0, 1):
        for dy in (0, 1):  # each point is distributed bilinearly over its four neighbouring pixels
            share = np.abs(1 - dx - fraction[:, 0]) * np.abs(1 - dy - fraction[:, 1])
            np.add.at(kernel, (corner[:, 1] + dy + middle, corner[:, 0] + dx + middle), share)
    return (kernel / len(points)).astype(np.float32)
