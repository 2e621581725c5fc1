"""Synthesis of a pair from a window of frames: interpolation, averaging and writing."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import write_atomically
from deblurzoo.media import Image
from deblurzoo.media.images import write_png
from deblurzoo.synthesis.formation import expose
from deblurzoo.synthesis.interpolation import LARGEST_MOTION, in_between, motion
from deblurzoo.synthesis.motion import Motion
from deblurzoo.synthesis.options import CAMERA_GAMMA, Response

FOLDERS = ("blur", "blur_gamma", "sharp")
"""Folders of the images of a pair, in the order of writing."""


MOST_STEPS = 32
"""Maximum number of interpolation steps from one frame to the next. All sub-frames are held in memory."""


@dataclass(frozen=True)
class Camera:
    """Properties of the simulated camera.

    Args:
        response: camera response for `blur_gamma`: a gamma, or `srgb`.
        noise: standard deviation of the Gaussian noise in the blurry images, in 8-bit levels.
        jpeg: JPEG quality of the blurry images, 1 to 100; None disables compression.
    """

    response: Response = CAMERA_GAMMA
    noise: float = 0.0
    jpeg: int | None = None

    def __post_init__(self) -> None:
        if self.response is None or (self.response != "srgb" and not self.response > 0):
            raise DeblurzooError(f"--response {self.response} must be a positive number or srgb")
        if not 0 <= self.noise < 255:
            raise DeblurzooError(f"--noise {self.noise} must be at least 0 and below 255 (8-bit levels)")
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise DeblurzooError(f"--jpeg {self.jpeg} must be between 1 and 100")


def interpolated(frames: Sequence[Image]) -> list[Image]:
    """Return the frames, with additional frames interpolated between them.

    The result is evenly spaced in time, with about one pixel of motion between consecutive frames.

    Raises:
        DeblurzooError: the motion is too large to be interpolated.
    """
    largest = max(motion(first, second) for first, second in pairwise(frames))
    trusted = LARGEST_MOTION * max(frames[0].shape)
    if largest > trusted:
        raise DeblurzooError(
            f"motion of {largest:.0f} pixels between two frames exceeds {trusted:.0f}, the limit of interpolation: "
            "cut out this part, or record at a higher frame rate"
        )
    steps = min(max(1, ceil(largest)), MOST_STEPS)
    times = [step / steps for step in range(1, steps)]
    dense = [frames[0]]
    for first, second in pairwise(frames):
        dense += [*in_between(first, second, times), second]
    return dense


def write_pair(clip: Path, number: int, exposure: Sequence[Image], camera: Camera, rng: np.random.Generator) -> None:
    """Average an odd number of sub-frames and write the pair. The middle sub-frame is the sharp image.

    If writing fails, all files of the pair are removed.

    Raises:
        WriteError: the disk is full or the folder is not writable.
    """
    pictures = {
        "blur": _degraded(expose(exposure), camera, rng),
        "blur_gamma": _degraded(expose(exposure, camera.response), camera, rng),
        "sharp": exposure[len(exposure) // 2],
    }
    try:
        for folder, path in zip(FOLDERS, pair_files(clip, number), strict=True):
            write_png(path, pictures[folder])
    except DeblurzooError:
        for path in pair_files(clip, number):
            path.unlink(missing_ok=True)
        raise


def write_motion(clip: Path, kind: Motion, number: int, values: NDArray[np.floating[Any]]) -> None:
    """Write the known motion of a pair as KIND/NNNNNN.npy: (2, H, W) for flow, (rows, columns) for blur lengths."""
    data = io.BytesIO()
    np.save(data, values)
    write_atomically(clip / kind / f"{number:06d}.npy", data.getvalue())


def pair_files(clip: Path, number: int) -> list[Path]:
    """Return the files of a pair; the pair is complete if all of them exist."""
    return [clip / folder / f"{number:06d}.png" for folder in FOLDERS]


def _degraded(image: Image, camera: Camera, rng: np.random.Generator) -> Image:
    """Return an image with the camera's noise and compression artefacts."""
    if camera.noise:
        image = (image + rng.normal(0, camera.noise, image.shape)).round().clip(0, 255).astype(np.uint8)
    if camera.jpeg is not None:
        _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
    return image
