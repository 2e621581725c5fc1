"""Blur from photos: simulated camera shake and moving objects during the exposure."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.metrics.tiles import tile_means
from deblurzoo.synthesis.motion import Floats, Trajectory, hand_shake, strange_patch
from deblurzoo.synthesis.options import Response
from deblurzoo.synthesis.scene import Layer, affine, path_lengths, render, true_flow

POINTS = 65
"""Number of points of a random motion path per exposure; odd, so that one point is in the middle."""
PERIOD = 2
"""Shortest period of changes of direction and speed, in exposures. Half of the paths have a chord of at least 0.98 of
their length, as the motion of GOPRO's clip GOPR0477_11_00 during 11 frames."""
LARGEST_OBJECT = 0.4
"""Maximum side of an object, as a fraction of the frame's shorter side."""
SPACING = 4
"""Blur lengths of tiles are means over every fourth pixel in both directions."""


_LONGEST, _MOST_OBJECTS = 1000, 1000
"""Longest path in pixels, and largest number of moving objects of a photo."""


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
        dead_time: maximum time from the end of an exposure to the start of the next, as a fraction of an exposure.
    """

    min_length: float = 5.0
    max_length: float = 20.0
    roll: float = 0.5
    objects: int = 0
    dead_time: float = 0.5

    def margin(self, exposures: int) -> int:
        """Return the number of pixels around a crop that its exposures need; few paths reach farther."""
        return int(np.ceil(self.max_length * (0.7 if exposures == 1 else 1.5))) + 1

    def __post_init__(self) -> None:
        if not 0 <= self.min_length <= self.max_length <= _LONGEST:
            limits = f"0 <= min <= max <= {_LONGEST}"
            raise DeblurzooError(f"min_length={self.min_length} and max_length={self.max_length} must satisfy {limits}")
        if not 0 <= self.roll <= 2:
            raise DeblurzooError(f"roll={self.roll} must be between 0 and 2")
        if not 0 <= self.objects <= _MOST_OBJECTS:
            raise DeblurzooError(f"objects={self.objects} must be between 0 and {_MOST_OBJECTS}")
        if not 0 <= self.dead_time <= 1:
            raise DeblurzooError(f"dead_time={self.dead_time} must be between 0 and 1")


@dataclass(frozen=True)
class PhotoBlur:
    """Blur that is simulated from photos.

    Args:
        shake: motion during the exposures.
        shorter_side: photos are reduced (antialiased) to this number of pixels of their shorter side. Smaller photos
            are unchanged; null for all photos.
        responses: camera responses; one is drawn for each training sample.
    """

    shake: Shake
    shorter_side: int | None = None
    responses: tuple[Response, ...] = (None,)


def reduction(size: tuple[int, int], shorter_side: int | None) -> float:
    """Return the factor, at most 1, that reduces an image of a given size to a shorter side; None returns 1."""
    return min(1.0, shorter_side / min(size)) if shorter_side else 1.0


def reduced(photo: Image, shorter_side: int | None) -> Image:
    """Return a photo reduced (antialiased) to a shorter side, see `reduction`."""
    height, width = photo.shape[:2]
    factor = reduction((height, width), shorter_side)
    size = (round(factor * width), round(factor * height))
    return photo if factor == 1 else np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class Exposures:
    """Consecutive exposures of a moving camera: the paths of a photo and of the objects in front of it.

    Args:
        layers: the photo, and the objects. Each path consists of the exposures' sub-frames, exposure by exposure.
        size: height and width of the frames in pixels.
        steps: number of sub-frames of an exposure; odd, so that one of them is in the middle.
    """

    layers: list[Layer]
    size: tuple[int, int]
    steps: int

    def middle(self, number: int) -> int:
        """Return the index of the middle sub-frame of an exposure. This sub-frame is the sharp image."""
        return number * self.steps + self.steps // 2

    def frames(self, number: int) -> list[Image]:
        """Return the sub-frames (h, w, 3) of an exposure, uint8.

        The required memory is the size of the sub-frames, plus about 15 bytes per pixel (60 with objects).
        """
        return [render(self.layers, number * self.steps + step, self.size) for step in range(self.steps)]

    def maps(self, layer: Layer) -> Floats:
        """Return the matrices (S, 2, 3) that map pixels of the sub-frames of all exposures to pixels of a layer."""
        return affine(layer.trajectory, slice(None), layer.centre, self.size)

    def flow(self, number: int, later: int) -> NDArray[np.float32]:
        """Return the true flow (2, h, w) between the sharp images of two exposures, see `true_flow`."""
        return true_flow(self.layers, self.middle(number), self.middle(later), self.size)

    def tile_lengths(self, number: int) -> NDArray[np.float32]:
        """Return the mean blur length of each tile of an exposure in pixels, (rows, columns), see `path_lengths`."""
        steps = range(number * self.steps, (number + 1) * self.steps)
        lengths = path_lengths(self.layers, steps, self.size, SPACING)
        return tile_means(lengths, SPACING).astype(np.float32)


def expose_photo(
    photo: Image, rng: np.random.Generator, options: Shake, offsets: Sequence[int] = (0,), margin: int | None = None
) -> Exposures:
    """Draw the motion during consecutive exposures of a photo (H, W, 3), uint8.

    The number of sub-frames per exposure is odd, at least 9, and large enough that nothing moves by more than about a
    pixel between consecutive sub-frames. The middle sub-frame of exposure 0 shows the photo itself without resampling,
    with the objects in front of it. All sides are cropped by the same number of pixels, so that nothing outside the
    photo is visible; the scale is unchanged.

    Args:
        photo: the photo.
        rng: random generator.
        options: range of the motion.
        offsets: the exposures in the order of the result, relative to exposure 0, which must be one of them. They are
            parts of one path, with a dead time between them.
        margin: number of pixels to be cropped from each side; paths that reach farther are scaled down. None crops as
            many pixels as the drawn path needs.

    Raises:
        DeblurzooError: the photo is too small for the motion.
    """
    height, width = photo.shape[:2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    times = _times(rng, options, offsets)
    camera = _path(rng, options, times, reach=float(np.hypot(*middle)))
    objects = [_path(rng, options, times, reach=np.inf) for _ in range(rng.integers(options.objects + 1))]
    moved = _displacements(camera, middle)
    if margin is not None and (farthest := float(np.abs(moved).max())) > margin:
        camera = _scaled(camera, (margin - 1) / farthest)
        moved = _displacements(camera, middle)
    border = int(np.ceil(np.abs(moved).max())) if margin is None else margin
    size = (height - 2 * border, width - 2 * border)
    if min(size) < max(1, min(height, width) // 2) and margin is None:
        raise DeblurzooError(
            f"a photo of {width}x{height} pixels is too small for camera paths of {options.max_length:g} pixels: "
            "give a larger photo, or allow only shorter paths"
        )
    fastest = _speed(moved) + max((_speed(own.shift) for own in objects), default=0)
    steps = 2 * max(4, int(np.ceil((POINTS - 1) * fastest / 2))) + 1
    layers = [Layer(photo, _resampled(camera, times, steps), middle, cv2.BORDER_REFLECT_101)]
    layers += [_object(rng, photo, size, _resampled(_together(camera, own), times, steps)) for own in objects]
    return Exposures(layers, size, steps)


@dataclass(frozen=True)
class _Times:
    """Points of a path: `starts` are the first points of the exposures, and `rest` is the point without motion."""

    points: int
    starts: list[int]
    rest: int


def _times(rng: np.random.Generator, options: Shake, offsets: Sequence[int]) -> _Times:
    dead = round((POINTS - 1) * rng.uniform(0, options.dead_time)) if len(offsets) > 1 else 0
    starts = [(offset - min(offsets)) * (POINTS + dead) for offset in offsets]
    return _Times(max(starts) + POINTS, starts, starts[offsets.index(0)] + POINTS // 2)


def _path(rng: np.random.Generator, options: Shake, times: _Times, reach: float) -> Trajectory:
    """Return a path that is at rest in the middle of exposure 0.

    Rotation and zoom are scaled for points `reach` pixels from the centre.
    """
    length = rng.uniform(options.min_length, options.max_length)
    drawn = hand_shake(rng, times.points, POINTS, length, PERIOD * POINTS)
    share = options.roll * length / reach * rng.uniform(0, 1, 2)
    return Trajectory(
        shift=drawn.shift - drawn.shift[times.rest],
        rotation=share[0] * _of_length_1(drawn.rotation, times.rest),
        zoom=np.exp(share[1] * _of_length_1(np.log(drawn.zoom), times.rest)),
    )


def _of_length_1(values: Floats, rest: int) -> Floats:
    """Return values that are 0 at the point `rest` and vary by 1 per exposure on average."""
    exposures = (len(values) - 1) / (POINTS - 1)
    return np.asarray((values - values[rest]) / (np.abs(np.diff(values)).sum() / exposures))


def _scaled(path: Trajectory, factor: float) -> Trajectory:
    return Trajectory(factor * path.shift, factor * path.rotation, path.zoom**factor)


def _speed(places: Floats) -> float:
    """Return the largest distance between consecutive points of paths (points, ..., 2)."""
    return float(np.linalg.norm(np.diff(places, axis=0), axis=-1).max())


def _displacements(camera: Trajectory, middle: Floats) -> Floats:
    """Return the displacements (points, 4, 2) of the image corners; no pixel inside the image is displaced farther."""
    width, height = 2 * middle + 1
    corners = np.array([[x, y] for x in (0, width - 1) for y in (0, height - 1)])
    maps = affine(camera, slice(None), middle, (height, width))
    return np.asarray(corners @ maps[..., :2].transpose(0, 2, 1) + maps[:, None, :, 2] - corners)


def _together(camera: Trajectory, own: Trajectory) -> Trajectory:
    return Trajectory(camera.shift + own.shift, camera.rotation + own.rotation, camera.zoom * own.zoom)


def _resampled(path: Trajectory, times: _Times, steps: int) -> Trajectory:
    """Return the exposures of a path, each resampled to `steps` points (odd); the middle points are unchanged."""
    old, new = np.linspace(-1, 1, POINTS), np.linspace(-1, 1, steps)

    def resampled(values: Floats) -> Floats:
        return np.concatenate([np.interp(new, old, values[start : start + POINTS]) for start in times.starts])

    x, y, rotation, zoom = map(resampled, (*path.shift.T, path.rotation, path.zoom))
    return Trajectory(np.stack([x, y], axis=1), rotation, zoom)


def _object(rng: np.random.Generator, photo: Image, size: tuple[int, int], path: Trajectory) -> Layer:
    """Return a random patch with its centre in the frame; its side is 0.1 to 0.4 times the frame's shorter side."""
    side = max(2, int(min(size) * rng.uniform(0.1, LARGEST_OBJECT)))
    place = (rng.uniform(0, 1, 2) - 0.5) * np.array([size[1], size[0]])
    patch = strange_patch(rng, photo, side)
    return Layer(patch, path, np.array([side / 2, side / 2]) - place, cv2.BORDER_CONSTANT)
