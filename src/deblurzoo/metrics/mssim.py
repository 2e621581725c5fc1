"""Multi-scale SSIM of Köhler's benchmark."""

import cv2
import numpy as np

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Floats, Image
from deblurzoo.metrics.psnr_ssim import TAPS

_LEVELS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of contrast and structure, from the finest level to the coarsest; luminance has the last exponent."""
_HALF = (0.037828455507260, -0.023849465019560, -0.110624404418440, 0.377402855612830)
_LOW_PASS = np.array([*_HALF, 0.852698679008890, *_HALF[::-1]])
_LOW_PASS /= _LOW_PASS.sum()
"""The analysis low-pass filter of the 9/7 biorthogonal wavelet."""
SMALLEST_SIDE = 11 * 2 ** (len(_LEVELS) - 1) - 15
"""The smallest side in pixels at which the 11-pixel window fits into the coarsest level."""


def luminance(image: Floats) -> Floats:
    """Return 0.299 R + 0.587 G + 0.114 B of a float32 image (H, W, 3)."""
    return np.asarray(cv2.transform(image, np.array([[0.299, 0.587, 0.114]])), np.float32)


def mssim(image: Floats, sharp: Floats) -> float:
    """Return the multi-scale SSIM (not the mean SSIM) of two float32 planes (H, W) from 0 to 255.

    Images are compared at five levels, and each level has half the size of the previous level. The result is
    the product of the mean contrasts and mean structures of all levels and the mean luminance of the coarsest level,
    each raised to its exponent. A negative mean structure counts as 0; MATLAB's result would be a complex number.

    Raises:
        DeblurzooError: a side is shorter than `SMALLEST_SIDE`.
    """
    if min(image.shape) < SMALLEST_SIDE:
        raise DeblurzooError(
            f"an image has {image.shape[1]}x{image.shape[0]} pixels: multi-scale SSIM requires at least "
            f"{SMALLEST_SIDE} per side"
        )
    product, light = 1.0, 1.0
    for level, exponent in enumerate(_LEVELS):
        if level:
            image, sharp = _halved(image), _halved(sharp)
        light, contrast, structure = _components(image, sharp)
        product *= contrast**exponent * max(structure, 0.0) ** exponent
    return float(product * light ** _LEVELS[-1])


def _halved(plane: Floats) -> Floats:
    low = cv2.sepFilter2D(plane, -1, _LOW_PASS, _LOW_PASS, borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(low[::2, ::2])


def _components(x: Floats, y: Floats) -> tuple[float, float, float]:
    """Return the means of luminance, contrast and structure over the positions where the window is inside the image."""

    def smooth(plane: Floats) -> Floats:
        return np.asarray(cv2.sepFilter2D(plane, -1, TAPS, TAPS)[5:-5, 5:-5], np.float32)

    x, y = x - 128, y - 128  # in float32, second moments about 0 would suffer from cancellation
    mean_x, mean_y = smooth(x), smooth(y)
    variance_x = np.maximum(smooth(x * x) - mean_x**2, 0)
    variance_y = np.maximum(smooth(y * y) - mean_y**2, 0)
    covariance = smooth(x * y) - mean_x * mean_y
    deviations = np.sqrt(variance_x * variance_y)
    mean_x, mean_y = mean_x + 128, mean_y + 128
    c1, c2 = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    contrast = (2 * deviations + c2) / (variance_x + variance_y + c2)
    structure = (covariance + c2 / 2) / (deviations + c2 / 2)
    return _mean(light), _mean(contrast), _mean(structure)


def _mean(plane: Floats) -> float:
    return float(plane.mean(dtype=np.float64))


def image_mssim(image: Image, sharp: Image) -> float:
    """Return `mssim` of the luminance of two uint8 images (H, W, 3), without Köhler's registration."""
    return mssim(luminance(image.astype(np.float32)), luminance(sharp.astype(np.float32)))
