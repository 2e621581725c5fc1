"""PSNR and SSIMs as the papers mean them, on 8-bit pictures and per image; the table METRICS; means over images."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
import torchmetrics
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.functional.image import peak_signal_noise_ratio

from deblurzoo import extensions
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.records import FIGURE, LARGEST

Image = NDArray[np.uint8]
Map = NDArray[np.float32]
Plane = NDArray[np.float32]
PictureFunction = Callable[[Image, Image], float]
"""From an image and the sharp one, both uint8 (H, W, 3), to a figure."""
Rounding = Literal["nearest", "floor"]

UNCHANGED = 100.0
"""The PSNR in dB, and the highest, of pictures that differ nowhere, or by less than one step in all of a 720p frame."""


def to_uint8(image: Tensor, rounding: Rounding = "nearest") -> Tensor:
    """Clamp to [0, 1], scale by 255 and round: what a user gets on disk and what every metric is computed on.

    `floor` is what SRN's published script does; it costs about 0.02 dB at 30 dB.
    """
    scaled = image.float().clamp(0, 1) * 255
    return (scaled.floor() if rounding == "floor" else scaled.round()).to(torch.uint8)


def psnr(image: Tensor, sharp: Tensor) -> Tensor:
    """Return the PSNR in dB of each image, (B,), at most `UNCHANGED`, from uint8 (B, 3, H, W)."""
    value: Tensor = peak_signal_noise_ratio(
        image.float(), sharp.float(), data_range=255.0, reduction="none", dim=(1, 2, 3)
    )
    return value.clamp(max=UNCHANGED)


def decibels(squared_error: float) -> float:
    """Return the PSNR in dB of a mean squared error on the scale of 0 to 255, at most `UNCHANGED`."""
    return min(10 * math.log10(255**2 / squared_error), UNCHANGED) if squared_error else UNCHANGED


def picture_psnr(image: Image, sharp: Image) -> float:
    """Return the PSNR in dB of one uint8 picture (H, W, 3), as `psnr` does for a batch of tensors."""
    return decibels(cv2.norm(image, sharp, cv2.NORM_L2SQR) / image.size)


TAPS = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
TAPS /= TAPS.sum()
"""The Gaussian of SSIM: 11 taps, sigma 1.5."""
_CHANNEL_MIXING = np.array([[TAPS[np.clip(o + np.arange(-5, 6), 0, 2) == i].sum() for i in range(3)] for o in range(3)])
"""What the 11-tap Gaussian is along a channel axis of length 3 with replicated ends."""


def _ssim_map(image: Image, sharp: Image, mix_channels: bool) -> Map:
    """Return the SSIM at every pixel of one picture, (H, W, 3): 11x11 Gaussian, sigma 1.5, replicated borders.

    OpenCV filters twenty times as fast as torch on a CPU. C1 = (0.01 * 255)^2, C2 = (0.03 * 255)^2.
    """

    def smooth(x: Map) -> Map:
        mixed = cv2.transform(x, _CHANNEL_MIXING) if mix_channels else x
        return np.asarray(cv2.sepFilter2D(mixed, -1, TAPS, TAPS, borderType=cv2.BORDER_REPLICATE), np.float32)

    # Second moments about mid-grey: about 0 they would cancel in float32.
    x, y = image.astype(np.float32) - 128, sharp.astype(np.float32) - 128
    mean_x, mean_y = smooth(x), smooth(y)
    variances = smooth(x * x + y * y) - mean_x**2 - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + 128, mean_y + 128
    c1, c2 = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance * (2 * covariance + c2) / (variances + c2)


def picture_ssim(image: Image, sharp: Image) -> float:
    """Return the SSIM of one uint8 picture (H, W, 3): mean over channels and the valid region.

    Wang et al. 2004; scikit-image with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
    """
    return float(_ssim_map(image, sharp, mix_channels=False)[5:-5, 5:-5].mean(dtype=np.float64))


def picture_ssim_matlab3d(image: Image, sharp: Image) -> float:
    """Return MATLAB's `ssim(rgb, rgb)` of one uint8 picture (H, W, 3): the SSIM of the three papers.

    MATLAB takes H x W x 3 for a volume: an 11x11x11 Gaussian of sigma 1.5 with replicated borders on all three
    axes, averaged over the whole map. It is higher than the per-channel `ssim`: never compare one with the other.
    Source: S. Nah in DeepDeblur_release, issue 51.
    """
    return float(_ssim_map(image, sharp, mix_channels=True).mean(dtype=np.float64))


_LEVELS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of contrast and structure from the finest level to the coarsest; luminance has the last one."""
_HALF = (0.037828455507260, -0.023849465019560, -0.110624404418440, 0.377402855612830)
_LOW_PASS = np.array([*_HALF, 0.852698679008890, *_HALF[::-1]])
_LOW_PASS /= _LOW_PASS.sum()
"""The 9/7 biorthogonal wavelet's analysis low-pass."""
SMALLEST_SIDE = 11 * 2 ** (len(_LEVELS) - 1) - 15
"""Below this the window of 11 pixels does not fit into the coarsest level."""


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


def picture_mssim(image: Image, sharp: Image) -> float:
    """Return `mssim` of the luminances of one uint8 picture (H, W, 3), without Köhler's registration."""
    return mssim(luminance(image.astype(np.float32)), luminance(sharp.astype(np.float32)))


@dataclass(frozen=True)
class Figure:
    """How a figure is shown.

    Args:
        heading: its column's.
        digits: after the point.
        unit: such as dB; empty if it has none.
        higher_is_better: whether the best is the highest.
    """

    heading: str
    digits: int
    unit: str
    higher_is_better: bool

    def __post_init__(self) -> None:
        kinds = {"heading": str, "digits": int, "unit": str, "higher_is_better": bool}
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name}={getattr(self, name)!r} of a metric must be {kind.__name__}")

    def text(self, value: float) -> str:
        """Return a value with its digits, without the unit."""
        return f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class Metric(Figure):
    """A figure that can be measured.

    Args:
        function: from an image and the sharp one, both uint8 (H, W, 3), to a finite number. It is called in threads.
    """

    function: PictureFunction


METRICS = {
    "psnr": Metric("PSNR", 2, "dB", True, picture_psnr),
    "ssim": Metric("SSIM", 4, "", True, picture_ssim),
    "ssim_matlab3d": Metric("SSIM 3-D", 4, "", True, picture_ssim_matlab3d),
    "mssim": Metric("MSSIM", 4, "", True, picture_mssim),
}
"""Ours, by name. An entry is in results, tables, CSV, Markdown, page and W&B."""


def known_metrics() -> dict[str, Metric]:
    """Return all that can be measured here, by name, in the order of their columns: ours, then trusted packages'.

    Raises:
        DeblurzooError: something in a package's `METRICS` is no `Metric`.
    """
    return extensions.with_entries("METRICS", METRICS)


def metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        DeblurzooError: there is none of that name, or the name cannot stand in a file.
    """
    known = METRICS if name in METRICS else known_metrics()
    if name not in known:
        raise DeblurzooError(
            f"metric {name} is unknown: choose from {', '.join(known)}, or trust the package that has it: trust=PACKAGE"
        )
    if not re.fullmatch(FIGURE, name):
        raise DeblurzooError(f"metric {name} must be called by at most 40 of a-z, 0-9 and _, a letter first: rename it")
    return known[name]


def measured(name: str, image: Image, sharp: Image) -> float:
    """Return a metric of two images, both uint8 (H, W, 3).

    Raises:
        ValueError: its function fails, or gives no number that results can hold.
    """
    try:
        value = float(metric(name).function(image, sharp))
    except DeblurzooError:
        raise
    except Exception as error:  # whatever somebody's function raises
        raise ValueError(f"metric {name} cannot be taken ({type(error).__name__}: {first_line(error)})") from error
    if not abs(value) < LARGEST:
        ssims = name.startswith("ssim")
        reason = "SSIMs need 11 pixels on each side" if ssims else f"figures are finite and below {LARGEST:g}"
        raise ValueError(f"metric {name} gave {value}: {reason}")
    return value


def figure(name: str) -> Figure:
    """Return how a figure of a file is shown: one that is unknown here by its name, with four digits."""
    return METRICS.get(name) or known_metrics().get(name) or Figure(name, 4, "", True)


class MeanOverImages(torchmetrics.Metric):
    """The mean of a per-image value over all images, as the papers report it.

    torchmetrics' own PSNR pools the squared error over the data set by default, which can be 0.5 dB away.
    """

    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self, metric_name: str) -> None:
        super().__init__()
        self.metric_name = metric_name
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, image: Tensor, sharp: Tensor) -> None:
        """Add B images; `image` and `sharp` are (B, 3, H, W) in [0, 1] and are rounded to 8 bits."""
        for one, reference in zip(_pictures(image), _pictures(sharp), strict=True):
            try:
                self.total += measured(self.metric_name, one, reference)
            except ValueError as error:
                raise DeblurzooError(f"validation: {error}") from error
            self.images += 1

    def compute(self) -> Tensor:
        """Return the mean over all images seen."""
        return (self.total / self.images).float()


def _pictures(batch: Tensor) -> Iterator[Image]:
    """Yield each of (B, 3, H, W) in [0, 1] as uint8 (H, W, 3) in the CPU's memory."""
    yield from to_uint8(batch).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def image_metrics(*names: str) -> MetricCollection:
    """Return the named metrics, each a mean over images."""
    return MetricCollection({name: MeanOverImages(name) for name in names}, compute_groups=False)
