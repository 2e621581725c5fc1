"""Pictures of several images: strips for comparison, and contact sheets of samples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.media.images import read_image

COLUMNS = 8
GAP = 8
"""White pixels between samples."""


def strip(*pictures: Image) -> Image:
    """Return n images of the same size (H, W, 3), joined from left to right to (H, n W, 3)."""
    return np.concatenate(pictures, axis=1)


def read_strip(file: Path) -> tuple[Image, Image, Image]:
    """Return the blurry, the restored and the sharp image of the file of a blurry | restored | sharp strip.

    Raises:
        DeblurzooError: the file cannot be read, or its width is not a multiple of 3.
    """
    joined = read_image(file)
    width = joined.shape[1] // 3
    if width == 0 or joined.shape[1] % 3:
        raise DeblurzooError(
            f"{file} cannot be used (not a blurry | restored | sharp strip: {joined.shape[1]} pixels wide): run "
            "`deblurzoo evaluate` again"
        )
    return joined[:, :width], joined[:, width:-width], joined[:, -width:]


def contact_sheet(samples: Sequence[Sequence[Image]]) -> Image:
    """Return a picture of samples, `COLUMNS` per row. The images of a sample are stacked vertically.

    Args:
        samples: for each sample, its T blurry frames and its sharp frame, all (h, w, 3).
    """
    towers = [np.concatenate(list(sample)) for sample in samples]
    height, width, _ = towers[0].shape
    rows = -(-len(towers) // COLUMNS)
    sheet = np.full((rows * (height + GAP), min(COLUMNS, len(towers)) * (width + GAP), 3), 255, np.uint8)
    for number, tower in enumerate(towers):
        top, left = (number // COLUMNS) * (height + GAP), (number % COLUMNS) * (width + GAP)
        sheet[top : top + height, left : left + width] = tower
    return sheet
