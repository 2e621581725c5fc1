"""PSNR and SSIM as the papers mean them: on 8-bit pictures, per image, then averaged over images."""

import math
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.functional.image import peak_signal_noise_ratio

Image = NDArray[np.uint8]
Map = NDArray[np.float32]
ImageFunction = Callable[[Tensor, Tensor], Tensor]
Rounding = Literal["nearest", "floor"]


def to_uint8(image: Tensor, rounding: Rounding = "nearest") -> Tensor:
    """Clamp to [0, 1], scale by 255 and round: what a user gets on disk and what every metric is computed on.

    `floor` is what SRN's published script does; it costs about 0.02 dB at 30 dB.
    """
    scaled = image.float().clamp(0, 1) * 255
    return (scaled.floor() if rounding == "floor" else scaled.round()).to(torch.uint8)


def psnr(image: Tensor, sharp: Tensor) -> Tensor:
    """Return the PSNR in dB of each image, (B,), from uint8 (B, 3, H, W); infinite where they are equal."""
    value: Tensor = peak_signal_noise_ratio(
        image.float(), sharp.float(), data_range=255.0, reduction="none", dim=(1, 2, 3)
    )
    return value


def decibels(squared_error: float) -> float:
    """Return the PSNR in dB of a mean squared error on the scale of 0 to 255; infinite if that is 0."""
    return 10 * math.log10(255**2 / squared_error) if squared_error else math.inf


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


def _per_image(value: Callable[[Image, Image], float], image: Tensor, sharp: Tensor) -> Tensor:
    pictures = (batch.permute(0, 2, 3, 1).cpu().numpy() for batch in (image, sharp))
    return torch.tensor([value(i, s) for i, s in zip(*pictures, strict=True)], device=image.device)


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


def ssim(image: Tensor, sharp: Tensor) -> Tensor:
    """Return `picture_ssim` of each image, (B,), from uint8 (B, 3, H, W)."""
    return _per_image(picture_ssim, image, sharp)


def ssim_matlab3d(image: Tensor, sharp: Tensor) -> Tensor:
    """Return `picture_ssim_matlab3d` of each image, (B,), from uint8 (B, 3, H, W)."""
    return _per_image(picture_ssim_matlab3d, image, sharp)


FUNCTIONS: dict[str, ImageFunction] = {"psnr": psnr, "ssim": ssim, "ssim_matlab3d": ssim_matlab3d}


class MeanOverImages(Metric):
    """The mean of a per-image value over all images, as the papers report it.

    torchmetrics' own PSNR pools the squared error over the data set by default, which can be 0.5 dB away.
    """

    full_state_update = False
    total: Tensor
    images: Tensor

    def __init__(self, function: ImageFunction) -> None:
        super().__init__()
        self.function = function
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, image: Tensor, sharp: Tensor) -> None:
        """Add B images; `image` and `sharp` are (B, 3, H, W) in [0, 1] and are rounded to 8 bits."""
        values = self.function(to_uint8(image), to_uint8(sharp))
        self.total += values.double().sum()
        self.images += values.numel()

    def compute(self) -> Tensor:
        """Return the mean over all images seen."""
        return (self.total / self.images).float()


def image_metrics(*names: str) -> MetricCollection:
    """Return the named metrics (`psnr`, `ssim`, `ssim_matlab3d`), each a mean over images."""
    return MetricCollection({name: MeanOverImages(FUNCTIONS[name]) for name in names}, compute_groups=False)
