"""Square tiles of images, over which squared errors and blur lengths are averaged."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurzoo.media import Image

TILE = 64
"""Side of a tile in pixels."""


def tile_grid(height: int, width: int) -> tuple[int, int]:
    """Return the numbers of rows and columns of whole tiles; the remaining pixels at right and bottom are left out."""
    return height // TILE, width // TILE


def tile_means(plane: NDArray[Any], spacing: int = 1) -> NDArray[np.float64]:
    """Return the mean of each whole tile, (rows, columns), of a plane with a value at every `spacing`-th pixel."""
    side = TILE // spacing
    rows, columns = (extent // side for extent in plane.shape)
    tiles = plane[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return np.asarray(tiles.mean(axis=(1, 3), dtype=np.float64))


def tile_errors(image: Image, sharp: Image) -> NDArray[np.float64]:
    """Return the mean squared error of each whole tile, (rows, columns), of two uint8 images (H, W, 3)."""
    return tile_means(np.square(cv2.absdiff(image, sharp), dtype=np.uint16).mean(axis=2, dtype=np.float32))
