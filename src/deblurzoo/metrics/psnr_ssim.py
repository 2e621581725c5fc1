"""PSNR and two variants of SSIM for single 8-bit images, as in the papers."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurzoo.media import Floats, Image

UNCHANGED = 100.0
"""Cap on PSNR in dB. Identical images have this PSNR, and so do 720p frames that differ by 1 in at most 17 values."""


def decibels(squared_error: float) -> float:
    """Return the PSNR in dB for a mean squared error of pixel values from 0 to 255, capped at `UNCHANGED`."""
    return min(10 * math.log10(255**2 / squared_error), UNCHANGED) if squared_error else UNCHANGED


def image_psnr(image: Image, sharp: Image) -> float:
    """Return the PSNR in dB of one uint8 image (H, W, 3)."""
    return decibels(cv2.norm(image, sharp, cv2.NORM_L2SQR) / image.size)


TAPS = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
TAPS /= TAPS.sum()
"""The Gaussian of SSIM: 11 taps, sigma 1.5."""
_CHANNEL_MIXING = np.array([[TAPS[np.clip(o + np.arange(-5, 6), 0, 2) == i].sum() for i in range(3)] for o in range(3)])
"""The 11-tap Gaussian along a channel axis of length 3 with replicated ends, as a matrix."""


def ssim_map(x: NDArray[Any], y: NDArray[Any], mix_channels: bool = False) -> NDArray[Any]:
    """Return the SSIM map (H, W, 3) of two images, with an 11x11 Gaussian of sigma 1.5 and replicated borders.

    The constants are C1 = (0.01 * 255)^2 and C2 = (0.03 * 255)^2. On a CPU, filtering with OpenCV is twenty times as
    fast as with torch.

    Args:
        x, y: float32 or float64 images (H, W, 3) from -128 to 127: in float32, second moments about 0 instead of
            mid-gray would suffer from cancellation. The result has their precision.
        mix_channels: whether to filter along the channel axis, too.
    """

    def smooth(x: NDArray[Any]) -> NDArray[Any]:
        mixed = cv2.transform(x, _CHANNEL_MIXING) if mix_channels else x
        return np.asarray(cv2.sepFilter2D(mixed, -1, TAPS, TAPS, borderType=cv2.BORDER_REPLICATE), x.dtype)

    mean_x, mean_y = smooth(x), smooth(y)
    variances = smooth(x * x + y * y) - mean_x**2 - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + 128, mean_y + 128
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # Python's floats keep the precision of the images
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return np.asarray(luminance * (2 * covariance + c2) / (variances + c2))


def _centred(image: Image) -> Floats:
    return image.astype(np.float32) - 128


def image_ssim(image: Image, sharp: Image) -> float:
    """Return the SSIM of one uint8 image (H, W, 3), averaged over channels and the valid region.

    The value agrees with scikit-image for `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
    Reference: Wang et al., 2004.
    """
    return float(ssim_map(_centred(image), _centred(sharp))[5:-5, 5:-5].mean(dtype=np.float64))


def image_ssim_matlab3d(image: Image, sharp: Image) -> float:
    """Return MATLAB's `ssim(rgb, rgb)` of one uint8 image (H, W, 3): the SSIM that the papers report.

    MATLAB interprets H x W x 3 as a volume: it uses an 11x11x11 Gaussian of sigma 1.5 with replicated borders on all
    three axes, and averages over the whole map. The value is higher than the per-channel `ssim`, so do not compare the
    two.
    Reference: S. Nah, DeepDeblur_release, issue 51.
    """
    return float(ssim_map(_centred(image), _centred(sharp), mix_channels=True).mean(dtype=np.float64))
