"""A scene of flat layers in front of a moving camera."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurzoo.media import Image
from deblurzoo.synthesis.motion import Floats, Trajectory


def affine(trajectory: Trajectory, step: int | slice, centre: Floats, size: tuple[int, int]) -> Floats:
    """Return the matrix (2, 3) that maps pixels of a sub-frame to pixels of the layer; for a slice, (S, 2, 3)."""
    angle, zoom = trajectory.rotation[step], trajectory.zoom[step]
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    linear = np.stack([np.stack([cos, -sin], axis=-1), np.stack([sin, cos], axis=-1)], axis=-2)
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    offset = centre + trajectory.shift[step] - linear @ middle
    return np.concatenate([linear, offset[..., None]], axis=-1)


@dataclass(frozen=True)
class Layer:
    """An image (h, w, 4) of RGB in [0, 255] and opacity in [0, 1], which moves in front of the camera.

    The rearmost layer of `render` may also be an image (h, w, 3) without opacity, float32 or uint8.
    """

    picture: NDArray[np.float32] | Image
    trajectory: Trajectory
    centre: Floats
    """Point of the image, x and y, that is at the centre of the frame if the trajectory's shift is 0."""
    border: int
    """OpenCV's border mode outside the image."""

    def at(self, step: int, size: tuple[int, int]) -> NDArray[Any]:
        """Return the layer as seen by the camera at a sub-frame, (H, W, 4 or 3), in the dtype of `picture`."""
        return cv2.warpAffine(
            self.picture,
            affine(self.trajectory, step, self.centre, size),
            (size[1], size[0]),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=self.border,
        )


def render(layers: list[Layer], step: int, size: tuple[int, int]) -> Image:
    """Return the 8-bit frame (H, W, 3) at a sub-frame; layers are ordered from back to front."""
    picture = layers[0].at(step, size)[..., :3]
    for layer in layers[1:]:
        seen = layer.at(step, size)
        opacity = seen[..., 3:].clip(0, 1)
        picture = picture * (1 - opacity) + seen[..., :3] * opacity
    frame: Image = picture.round().clip(0, 255).astype(np.uint8)
    return frame


def path_lengths(layers: list[Layer], steps: range, size: tuple[int, int], spacing: int = 1) -> NDArray[np.float32]:
    """Return the length in pixels of the path of every `spacing`-th pixel during consecutive sub-frames.

    Each pixel of the middle sub-frame follows the front layer whose opacity there is above 0.5, see `true_flow`.
    """
    middle, (rows, columns) = steps[len(steps) // 2], (extent // spacing for extent in size)
    here = spacing * np.mgrid[:rows, :columns][::-1].reshape(2, -1)  # x, y
    lengths = np.zeros((rows, columns), np.float32)
    for layer in layers:
        maps = affine(layer.trajectory, slice(steps.start, steps.stop), layer.centre, size)
        now = maps[middle - steps.start]
        point = now[:, :2] @ here + now[:, 2:]
        places = (np.linalg.solve(one[:, :2], point - one[:, 2:]) for one in maps)
        length = sum(np.linalg.norm(later - earlier, axis=0) for earlier, later in pairwise(places))
        visible = layer is layers[0] or layer.at(middle, size)[::spacing, ::spacing, 3][:rows, :columns] > 0.5
        lengths = np.where(visible, np.reshape(length, (rows, columns)).astype(np.float32), lengths)
    return lengths


def true_flow(layers: list[Layer], step: int, later: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the flow from a sub-frame to a later sub-frame: u and v in pixels, (2, H, W).

    At a soft edge, where two layers are visible, the flow of the front layer counts if its opacity is above 0.5. The
    rearmost layer is visible everywhere else.
    """
    here = np.mgrid[: size[0], : size[1]][::-1].reshape(2, -1)  # x, y
    flow = np.zeros((2, *size), np.float32)
    for layer in layers:
        now, then = (affine(layer.trajectory, t, layer.centre, size) for t in (step, later))
        there = np.linalg.solve(then[:, :2], now[:, :2] @ here + now[:, 2:] - then[:, 2:])
        visible = layer is layers[0] or layer.at(step, size)[..., 3] > 0.5
        flow = np.where(visible, (there - here).reshape(2, *size).astype(np.float32), flow)
    return flow
