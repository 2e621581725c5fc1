"""Perceptual hashes of frames, which find scenes that are both in the training and in the test images."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import cv2
import numpy as np

from deblurzoo.data.clips import Source
from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image

DISTANCE = 10
"""Number of different bits up to which two frames show the same scene.

Measured on photos, Kodak images, REDS and GOPRO: 14 or more bits differ in 504,000 pairs of crops of different scenes.
At most 2 bits differ after motion blur of 21 pixels, JPEG compression, noise, or reduction to half the size; at most 8
after a shift by 1 % of the width. A shift by 4 % is found in 60 % of the images.
"""
_LEAST_CONTRAST = 4
"""Standard deviation, of 255 levels, below which a reduced image is uniform, such as a black frame."""


class Scene(NamedTuple):
    """The perceptual hash of each frame of a clip. An image that is not a frame of a video is a scene by itself."""

    clip: str
    hashes: Mapping[str, int]


class Match(NamedTuple):
    """A training and a test clip that show the same scene, and pairs of a training and a test frame of this scene."""

    train: str
    test: str
    frames: list[tuple[str, str]]


def perceptual_hash(image: Image) -> int | None:
    """Return 64 bits, few of which differ between images of the same scene; None if the image is uniform.

    Each bit states whether one of the 64 lowest frequencies is above their median. Thus half of all bits are set.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    reduced = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)
    if reduced.std() < _LEAST_CONTRAST:
        return None
    frequencies = cv2.dct(reduced)[:8, :8]
    return int.from_bytes(np.packbits(frequencies > np.median(frequencies)).tobytes())


def scenes(clip: str, hashes: Mapping[str, int | None], consecutive: bool) -> list[Scene]:
    """Return the scenes of a clip without its uniform images: one scene, or one for each image if not consecutive."""
    structured = {frame: one for frame, one in hashes.items() if one is not None}
    return (
        [Scene(clip, structured)] if consecutive else [Scene(clip, {frame: one}) for frame, one in structured.items()]
    )


def scenes_of(source: Source, split: str) -> list[Scene]:
    """Return the scenes of a split by the hashes of its sharp images, without images that cannot be read."""
    clips: dict[str, dict[str, int | None]] = {}
    for sample in source.samples(split, 1):
        with suppress(DeblurzooError):
            clips.setdefault(sample.clip, {})[sample.frame] = perceptual_hash(sample.sharp.read())
    named = ((f"{source.name} {split}/{clip}", hashes) for clip, hashes in clips.items())
    return [scene for clip, hashes in named for scene in scenes(clip, hashes, source.consecutive)]


def same_scenes(train: Sequence[Scene], test: Sequence[Scene]) -> list[Match]:
    """Return the training and test clips with frames of the same scene. Each test frame is paired with the closest."""
    frames = [(number, frame) for number, scene in enumerate(train) for frame in scene.hashes]
    hashes = np.array([one for scene in train for one in scene.hashes.values()], np.uint64)
    found: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for place, scene in enumerate(test if frames else ()):
        for frame, one in scene.hashes.items():
            distances = np.bitwise_count(hashes ^ np.uint64(one))
            closest = int(distances.argmin())
            if distances[closest] <= DISTANCE:
                number, other = frames[closest]
                found.setdefault((number, place), []).append((other, frame))
    return [Match(train[number].clip, test[place].clip, pairs) for (number, place), pairs in found.items()]
