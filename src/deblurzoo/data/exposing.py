"""Blur of training samples, which the workers draw and `data.degrade` renders on the device."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deblurzoo.batch import Unblurred, Unrendered
from deblurzoo.media import Image
from deblurzoo.synthesis.extra_blur import ExtraBlur
from deblurzoo.synthesis.motion import Floats
from deblurzoo.synthesis.options import Response
from deblurzoo.synthesis.stills import LARGEST_OBJECT, Exposures


def unrendered(drawn: Exposures, response: Response) -> Unrendered:
    """Return the exposures of one photo, as sample 0 of a batch."""
    photo, *objects = (layer.picture for layer in drawn.layers)
    maps = [drawn.maps(layer) for layer in drawn.layers]
    exposures = len(maps[0]) // drawn.steps
    patches = np.zeros((len(objects), *2 * [max(2, int(LARGEST_OBJECT * min(drawn.size)))], 4), np.uint8)
    for patch, picture in zip(patches, objects, strict=True):
        patch[: len(picture), : len(picture)] = (picture * [1, 1, 1, 255]).round()
    windows = [
        _window(some, len(picture), drawn.size)
        for picture, own in zip(objects, maps[1:], strict=True)
        for some in np.split(own, exposures)
    ]
    return Unrendered(
        sample=[0],
        photo=_tensor(photo.astype(np.uint8)[None]),
        objects=_tensor(patches),
        maps=torch.from_numpy(np.concatenate(maps).astype(np.float32)),
        shape=[(len(maps), exposures, drawn.steps)],
        windows=[windows],
        response=[response],
    )


def unblurred(extra: ExtraBlur, images: Image, seed: int) -> Unblurred:
    """Return T blurry images and their sharp image, (T+1, H, W, 3) uint8, with drawn blur, as sample 0 of a batch."""
    kernel, layer = extra.draw(images[-1], seed)
    side, largest = len(kernel), 2 * extra.margin + 1
    objects = np.zeros((0, *images.shape[1:3], 4), np.float32) if layer is None else layer[None] / [255, 255, 255, 1]
    return Unblurred(
        sample=[0],
        images=_tensor(images)[None],
        kernel=torch.from_numpy(np.pad(kernel, (largest - side) // 2)[None]),
        side=[side],
        layer=_tensor(objects.astype(np.float32)),
        objects=[layer is not None],
    )


def _tensor(images: NDArray[Any]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _window(maps: Floats, side: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of the frame in which a square layer is visible in some sub-frame: left, top, right, bottom."""
    corners = np.array([[x, y] for x in (-1, side) for y in (-1, side)])
    places = np.linalg.solve(maps[:, None, :, :2], (corners - maps[:, None, :, 2])[..., None])[..., 0]
    left, top = np.floor(places.min(axis=(0, 1))).clip(0).astype(int)
    right, bottom = np.ceil(places.max(axis=(0, 1)) + 1).clip(0, [size[1], size[0]]).astype(int)
    return int(left), int(top), int(right), int(bottom)
