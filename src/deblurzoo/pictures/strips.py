"""Images beside each other: strips to compare, and sheets of samples."""

import numpy as np
import torch
from torch import Tensor

from deblurzoo.batch import Batch
from deblurzoo.media import Image
from deblurzoo.metrics.batches import to_uint8

COLUMNS = 8
GAP = 8
"""Pixels of white between samples."""


def contact_sheet(samples: list[Batch]) -> Image:
    """Return samples (T, 3, h, w) uint8 from left to right, `COLUMNS` a row, each T blurry frames over the sharp one.

    Returns:
        (H, W, 3) uint8.
    """
    towers = [np.concatenate([_pixels(frame) for frame in (*sample.blur, sample.sharp)]) for sample in samples]
    height, width, _ = towers[0].shape
    rows = -(-len(towers) // COLUMNS)
    sheet = np.full((rows * (height + GAP), min(COLUMNS, len(towers)) * (width + GAP), 3), 255, np.uint8)
    for number, tower in enumerate(towers):
        top, left = (number // COLUMNS) * (height + GAP), (number % COLUMNS) * (width + GAP)
        sheet[top : top + height, left : left + width] = tower
    return sheet


def _pixels(frame: Tensor) -> Image:
    pixels: Image = frame.permute(1, 2, 0).numpy()
    return pixels


def side_by_side(*images: Tensor) -> Image:
    """Return images (3, H, W) in [0, 1] beside each other, (H, n*W, 3) uint8."""
    strip: Image = np.ascontiguousarray(to_uint8(torch.cat(images, dim=-1)).permute(1, 2, 0).cpu().numpy())
    return strip
