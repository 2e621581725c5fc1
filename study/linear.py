"""The best linear filters: yardsticks for networks."""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurzoo.media import Image

SIDE = 9
"""Side of the filters in pixels; longer than the blur of the study."""
RIDGE = 1e-3
"""Added to the diagonal of the normal equations, which have some 100,000 pixels in [0, 1] per image."""

Pair = tuple[Image, Image]
"""A blurry and a sharp image, (H, W, 3)."""


def best_filter(pairs: Iterable[Pair]) -> NDArray[np.float64]:
    """Return the filter (SIDE, SIDE) with the smallest squared error on a quarter of the pixels of all pairs."""
    matrix, vector = RIDGE * np.eye(SIDE**2), np.zeros(SIDE**2)
    edge = slice(SIDE // 2, -(SIDE // 2), 2)
    for blurry, sharp in pairs:
        for channel in range(3):
            windows = np.lib.stride_tricks.sliding_window_view(blurry[..., channel], (SIDE, SIDE))[::2, ::2]
            inputs = windows.reshape(-1, SIDE**2) / 255
            matrix += inputs.T @ inputs
            vector += inputs.T @ (sharp[edge, edge, channel].ravel() / 255)
    return np.linalg.solve(matrix, vector).reshape(SIDE, SIDE)


def filtered(image: Image, kernel: NDArray[np.float64]) -> Image:
    """Return an image (H, W, 3) after a filter, rounded to 8 bits."""
    values = cv2.filter2D(image.astype(np.float64), -1, kernel, borderType=cv2.BORDER_REFLECT)
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)
