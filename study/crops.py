"""Pictures of a model card: blurry | restored | sharp crops of evaluated images."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from deblurzoo.files import write_atomically
from deblurzoo.media import Image
from deblurzoo.metrics.tiles import TILE, tile_errors
from deblurzoo.pictures.strips import read_strip, strip
from deblurzoo.reports.results import Measured, Results
from deblurzoo.reports.results import read as read_results

SIDE = 5 * TILE
"""Side of a crop in pixels."""
QUALITY = 90
CARD: dict[str, tuple[str, Callable[..., Measured]]] = {
    "good": ("kodak", max),
    "bad": ("kodak", min),
    "real": ("reds_half", max),
}
"""Test of each picture, and the choice of its image by the gain."""


def write_pictures(results: dict[str, Path], folder: Path) -> None:
    """Write the pictures of a card as JPEG files. All images of the evaluations must have a strip.

    Args:
        results: `results.json` by test.
        folder: the folder of the network.
    """
    for name, (test, _) in CARD.items():
        image = shown_image(name, read_results(results[test]))
        picture = cv2.cvtColor(crop(*read_strip(results[test].parent / image.strip)), cv2.COLOR_RGB2BGR)
        write_atomically(folder / f"{name}.jpg", cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def shown_image(name: str, results: Results) -> Measured:
    """Return the image of a picture of the card from the results of its test."""
    return CARD[name][1](results.images, key=gain)


def gain(image: Measured) -> float:
    """Return the gain of an image in dB."""
    return image.restored["psnr"] - image.blurry["psnr"]


def crop(blurry: Image, restored: Image, sharp: Image) -> Image:
    """Return the strip of the crops in which the blurry image has the largest error; smaller images are not cropped."""
    errors = cv2.boxFilter(tile_errors(blurry, sharp), -1, (SIDE // TILE, SIDE // TILE), borderType=cv2.BORDER_REFLECT)
    row, column = np.unravel_index(errors.argmax(), errors.shape)
    top, left = (
        max(0, min(TILE * int(place) + TILE // 2 - SIDE // 2, extent - SIDE))
        for place, extent in zip((row, column), sharp.shape, strict=False)
    )
    return strip(*(image[top : top + SIDE, left : left + SIDE] for image in (blurry, restored, sharp)))
