"""The measure of Köhler's benchmark: PSNR and multi-scale SSIM after registration to a sharp image.

Reference: Köhler et al., "Recording and Playback of Camera Shake", ECCV 2012, and its MATLAB code: `eval_image.m` with
`dftregistration`, `imshift` and `mssim_index` (by Rouse and Hemami).
"""

from collections.abc import Iterable, Sequence
from typing import Self

import cv2
import numpy as np

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Floats, Image
from deblurzoo.metrics import measured, metric
from deblurzoo.metrics.mssim import luminance, mssim
from deblurzoo.metrics.psnr_ssim import decibels

FIXED = ("psnr", "mssim")
"""The metrics that the benchmark reports."""
Region = tuple[slice, ...]


def best_match(
    images: Sequence[Image], references: Iterable[Image], names: Sequence[str] = FIXED
) -> list[dict[str, float]]:
    """Return the named metrics of each image. Each value is the best value over all references.

    `psnr` (dB) and `mssim` are measured on luminance. Other metrics are measured on the registered colour image,
    rounded to 8 bits. All pixels outside the overlap of image and reference are set to 0.

    Args:
        images: uint8 images (H, W, 3) of the same size.
        references: sharp images of the same size, read one at a time.
        names: keys of `METRICS`.

    Raises:
        DeblurzooError: a reference has a different size, or the images are too small for multi-scale SSIM.
    """
    pictures = [_Prepared(image) for image in images]
    best: list[dict[str, float]] = [{} for _ in images]
    for reference in references:
        if reference.shape != images[0].shape:
            raise DeblurzooError(
                f"a sharp image has {reference.shape[1]}x{reference.shape[0]} pixels, but the blurry image has "
                f"{images[0].shape[1]}x{images[0].shape[0]}: both must have the same size"
            )
        sharp = _Prepared(reference)
        for image, values in zip(pictures, best, strict=True):
            for name, value in _figures(image, sharp, names).items():
                better = max if metric(name).higher_is_better else min
                values[name] = better(values.get(name, value), value)
    return best


class _Prepared:
    """An image with its luminance and spectrum, computed once for all registrations."""

    def __init__(self, image: Image) -> None:
        self.values = image.astype(np.float32)
        self.luminance = luminance(self.values)
        self.spectrum = np.fft.rfft2(cv2.transform(self.values, np.full((1, 3), 1 / 3)))

    def registration(self, sharp: Self) -> tuple[float, Region, Region]:
        """Return the gain for this image, and the region of the overlap in this image and in `sharp`.

        The gain minimises the squared error over all pixels and channels. The shift, in whole pixels, is the peak of
        the circular cross-correlation. As in the original code, the gain is computed before the shift.
        """
        energy = _dot(self.values, self.values)
        gain = _dot(sharp.values, self.values) / energy if energy else 0.0
        correlation = np.fft.irfft2(sharp.spectrum * self.spectrum.conj(), self.luminance.shape)
        peak = np.unravel_index(correlation.argmax(), correlation.shape)
        shift = [int(p) - n if p > n // 2 else int(p) for p, n in zip(peak, correlation.shape, strict=True)]
        here = tuple(slice(max(-s, 0), n + min(-s, 0)) for s, n in zip(shift, correlation.shape, strict=True))
        there = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(shift, correlation.shape, strict=True))
        return gain, here, there


def _figures(image: _Prepared, sharp: _Prepared, names: Sequence[str]) -> dict[str, float]:
    gain, here, there = image.registration(sharp)

    def registered(plane: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Return `plane` scaled and shifted, and `other`; both are 0 outside the overlap."""
        moved, overlap = np.zeros_like(plane), np.zeros_like(plane)
        moved[there] = np.float32(gain) * plane[here]
        overlap[there] = other[there]
        return moved, overlap

    pair = registered(image.luminance, sharp.luminance)
    found = {"psnr": decibels(float(np.square(pair[0] - pair[1]).mean(dtype=np.float64))), "mssim": mssim(*pair)}
    if others := [name for name in names if name not in FIXED]:
        colours = [plane.round().clip(0, 255).astype(np.uint8) for plane in registered(image.values, sharp.values)]
        found |= {name: measured(name, *colours) for name in others}
    return {name: found[name] for name in names}


def _dot(a: Floats, b: Floats) -> float:
    return sum(float(np.dot(x, y)) for x, y in zip(a.reshape(len(a), -1), b.reshape(len(b), -1), strict=True))
