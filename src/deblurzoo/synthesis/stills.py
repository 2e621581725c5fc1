"""Blur from photos: simulated camera shake and moving objects during the exposure."""

from dataclasses import dataclass

import cv2
import numpy as np

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.synthesis.motion import Floats, Trajectory, hand_shake, strange_patch
from deblurzoo.synthesis.scene import Layer, affine, render

POINTS = 65
"""Number of points of a random motion path; odd, so that one point is in the middle."""


@dataclass(frozen=True)
class Shake:
    """Motion during the exposure of a photo.

    Args:
        min_length, max_length: range of path lengths in pixels, both for the camera, whose path moves the whole image,
            and for the additional motion of each object.
        roll: maximum motion of the image corners by rotation, as a fraction of the length of the camera's path; the
            same maximum applies to zoom. Rotation and zoom do not move the image centre.
        objects: maximum number of objects that move in front of the photo. An object is a round patch of the photo with
            permuted colours.
    """

    min_length: float = 5.0
    max_length: float = 20.0
    roll: float = 0.5
    objects: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_length <= self.max_length < np.inf:
            raise DeblurzooError(
                f"min_length={self.min_length} and max_length={self.max_length} must satisfy 0 <= min <= max"
            )
        if not 0 <= self.roll <= 2:
            raise DeblurzooError(f"roll={self.roll} must be between 0 and 2")
        if self.objects < 0:
            raise DeblurzooError(f"objects={self.objects} must not be negative")


def shaken(photo: Image, rng: np.random.Generator, options: Shake) -> list[Image]:
    """Return the sub-frames (h, w, 3) of one exposure of a photo (H, W, 3), all uint8.

    The number of sub-frames is odd, at least 9, and large enough that nothing moves by more than about a pixel between
    consecutive sub-frames. The middle sub-frame shows the photo itself without resampling, with the objects in front of
    it. All sides are cropped by the same number of pixels, so that nothing outside the photo is visible; the scale is
    unchanged. The required memory is the size of the sub-frames, plus about 15 bytes per pixel (60 with objects).

    Raises:
        DeblurzooError: the photo is too small for the motion.
    """
    height, width = photo.shape[:2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    camera = _path(rng, options, reach=float(np.hypot(*middle)))
    objects = [_path(rng, options, reach=np.inf) for _ in range(rng.integers(options.objects + 1))]
    moved = _displacements(camera, middle)
    border = int(np.ceil(np.abs(moved).max()))
    size = (height - 2 * border, width - 2 * border)
    if min(size) < max(1, min(height, width) // 2):
        raise DeblurzooError(f"a photo of {width}x{height} pixels is too small for {options}: give a larger photo")
    fastest = _speed(moved) + max((_speed(own.shift) for own in objects), default=0)
    steps = 2 * max(4, int(np.ceil((POINTS - 1) * fastest / 2))) + 1
    layers = [Layer(photo, _resampled(camera, steps), middle, cv2.BORDER_REFLECT_101)]
    layers += [_object(rng, photo, size, _resampled(_together(camera, own), steps)) for own in objects]
    return [render(layers, step, size) for step in range(steps)]


def _path(rng: np.random.Generator, options: Shake, reach: float) -> Trajectory:
    """Return a path whose middle is at rest. Rotation and zoom are scaled for points `reach` pixels from the centre."""
    length = rng.uniform(options.min_length, options.max_length)
    drawn = hand_shake(rng, POINTS, POINTS, length)
    share = options.roll * length / reach * rng.uniform(0, 1, 2)
    return Trajectory(
        shift=drawn.shift - drawn.shift[POINTS // 2],
        rotation=share[0] * _of_length_1(drawn.rotation),
        zoom=np.exp(share[1] * _of_length_1(np.log(drawn.zoom))),
    )


def _of_length_1(values: Floats) -> Floats:
    return np.asarray((values - values[POINTS // 2]) / np.abs(np.diff(values)).sum())


def _speed(places: Floats) -> float:
    """Return the largest distance between consecutive points of paths (POINTS, ..., 2)."""
    return float(np.linalg.norm(np.diff(places, axis=0), axis=-1).max())


def _displacements(camera: Trajectory, middle: Floats) -> Floats:
    """Return the displacements (POINTS, 4, 2) of the image corners; no pixel inside the image is displaced farther."""
    width, height = 2 * middle + 1
    corners = np.array([[x, y] for x in (0, width - 1) for y in (0, height - 1)])
    maps = (affine(camera, point, middle, (height, width)) for point in range(POINTS))
    return np.stack([corners @ linear[:, :2].T + linear[:, 2] - corners for linear in maps])


def _together(camera: Trajectory, own: Trajectory) -> Trajectory:
    return Trajectory(camera.shift + own.shift, camera.rotation + own.rotation, camera.zoom * own.zoom)


def _resampled(path: Trajectory, steps: int) -> Trajectory:
    """Return a path of POINTS points, resampled to `steps` points (odd); the middle point is unchanged."""
    old, new = np.linspace(-1, 1, POINTS), np.linspace(-1, 1, steps)
    x, y, rotation, zoom = (np.interp(new, old, values) for values in (*path.shift.T, path.rotation, path.zoom))
    return Trajectory(np.stack([x, y], axis=1), rotation, zoom)


def _object(rng: np.random.Generator, photo: Image, size: tuple[int, int], path: Trajectory) -> Layer:
    """Return a random patch with its centre in the frame; its side is 0.1 to 0.4 times the frame's shorter side."""
    side = max(2, int(min(size) * rng.uniform(0.1, 0.4)))
    place = (rng.uniform(0, 1, 2) - 0.5) * np.array([size[1], size[0]])
    patch = strange_patch(rng, photo, side)
    return Layer(patch, path, np.array([side / 2, side / 2]) - place, cv2.BORDER_CONSTANT)
