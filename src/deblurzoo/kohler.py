"""The measure of Köhler's benchmark: register a restored picture to a sharp one, then PSNR and multi-scale SSIM.

Köhler et al., "Recording and Playback of Camera Shake", ECCV 2012, as their MATLAB code has it (`eval_image.m` and its
`dftregistration`, `imshift` and `mssim_index`, the last by Rouse and Hemami).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurzoo.errors import DeblurzooError
from deblurzoo.metrics import TAPS, Image, decibels

Plane = NDArray[np.float32]

_LEVELS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of contrast and structure from the finest level to the coarsest; luminance has the last one."""
_HALF = (0.037828455507260, -0.023849465019560, -0.110624404418440, 0.377402855612830)
_LOW_PASS = np.array([*_HALF, 0.852698679008890, *_HALF[::-1]])
_LOW_PASS /= _LOW_PASS.sum()
"""The 9/7 biorthogonal wavelet's analysis low-pass."""
SMALLEST_SIDE = 11 * 2 ** (len(_LEVELS) - 1) - 15
"""Below this the window of 11 pixels does not fit into the coarsest level."""


def best_match(images: Sequence[Image], references: Iterable[Image]) -> list[dict[str, float]]:
    """Return `psnr` in dB and `mssim` of each image, each the maximum over all references.

    Args:
        images: uint8 (H, W, 3) of one size.
        references: sharp pictures of that size, read one at a time.

    Raises:
        DeblurzooError: a reference has another size, or the pictures are smaller than `SMALLEST_SIDE`.
    """
    pictures = [_Picture(image) for image in images]
    best = [{"psnr": -math.inf, "mssim": -math.inf} for _ in images]
    for reference in references:
        if reference.shape != images[0].shape:
            raise DeblurzooError(
                f"a sharp picture is {reference.shape[1]}x{reference.shape[0]}, the blurry one "
                f"{images[0].shape[1]}x{images[0].shape[0]}: they must have one size"
            )
        sharp = _Picture(reference)
        for image, values in zip(pictures, best, strict=True):
            pair = image.registered_to(sharp)
            values["psnr"] = max(values["psnr"], decibels(float(np.square(pair[0] - pair[1]).mean(dtype=np.float64))))
            values["mssim"] = max(values["mssim"], mssim(*pair))
    return best


class _Picture:
    """What registration needs of one picture."""

    def __init__(self, image: Image) -> None:
        self.values = image.astype(np.float32)
        self.luminance = luminance(self.values)
        self.spectrum = np.fft.rfft2(cv2.transform(self.values, np.full((1, 3), 1 / 3)))

    def registered_to(self, sharp: Self) -> tuple[Plane, Plane]:
        """Return the luminance (H, W) of this picture, scaled and shifted, and of `sharp`, both 0 outside the overlap.

        One gain minimises the squared error over all pixels and channels; the shift is the peak of the circular
        cross-correlation, in whole pixels. As in the original, the gain is that of the pictures before the shift.
        """
        energy = _dot(self.values, self.values)
        gain = _dot(sharp.values, self.values) / energy if energy else 0.0
        correlation = np.fft.irfft2(sharp.spectrum * self.spectrum.conj(), self.luminance.shape)
        peak = np.unravel_index(correlation.argmax(), correlation.shape)
        shift = [int(p) - n if p > n // 2 else int(p) for p, n in zip(peak, correlation.shape, strict=True)]
        there = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(shift, correlation.shape, strict=True))
        here = tuple(slice(max(-s, 0), n + min(-s, 0)) for s, n in zip(shift, correlation.shape, strict=True))
        moved, overlap = np.zeros_like(self.luminance), np.zeros_like(self.luminance)
        moved[there] = np.float32(gain) * self.luminance[here]
        overlap[there] = sharp.luminance[there]
        return moved, overlap


def _dot(a: Plane, b: Plane) -> float:
    return sum(float(np.dot(x, y)) for x, y in zip(a.reshape(len(a), -1), b.reshape(len(b), -1), strict=True))


def luminance(image: Plane) -> Plane:
    """Return 0.299 R + 0.587 G + 0.114 B of float32 (H, W, 3)."""
    return np.asarray(cv2.transform(image, np.array([[0.299, 0.587, 0.114]])), np.float32)


def mssim(image: Plane, sharp: Plane) -> float:
    """Return the multi-scale SSIM (not the mean SSIM) of two float32 planes (H, W) from 0 to 255.

    Five levels, each half the size of the one before; the product of the mean contrasts and mean structures of all
    levels and of the mean luminance of the coarsest. A negative mean structure, where MATLAB's result is complex,
    counts as 0.

    Raises:
        DeblurzooError: a side is shorter than `SMALLEST_SIDE`.
    """
    if min(image.shape) < SMALLEST_SIDE:
        raise DeblurzooError(
            f"a picture is {image.shape[1]}x{image.shape[0]}: multi-scale SSIM needs at least {SMALLEST_SIDE} pixels"
        )
    product, light = 1.0, 1.0
    for level, exponent in enumerate(_LEVELS):
        if level:
            image, sharp = _halved(image), _halved(sharp)
        light, contrast, structure = _components(image, sharp)
        product *= contrast**exponent * max(structure, 0.0) ** exponent
    return float(product * light ** _LEVELS[-1])


def _halved(plane: Plane) -> Plane:
    low = cv2.sepFilter2D(plane, -1, _LOW_PASS, _LOW_PASS, borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(low[::2, ::2])


def _components(x: Plane, y: Plane) -> tuple[float, float, float]:
    """Return the means of luminance, contrast and structure over the region where the window fits."""

    def smooth(plane: Plane) -> Plane:
        return np.asarray(cv2.sepFilter2D(plane, -1, TAPS, TAPS)[5:-5, 5:-5], np.float32)

    x, y = x - 128, y - 128  # second moments about 0 would cancel in float32
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


def _mean(plane: Plane) -> float:
    return float(plane.mean(dtype=np.float64))
