"""PSNR and SSIM as the papers mean them: on 8-bit pictures, per image, then averaged over images."""

from collections.abc import Callable

import torch
from kornia.filters import filter2d_separable
from kornia.metrics import ssim as ssim_map
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.functional.image import peak_signal_noise_ratio

ImageFunction = Callable[[Tensor, Tensor], Tensor]


def to_uint8(image: Tensor) -> Tensor:
    """Clamp to [0, 1], scale by 255 and round: what a user gets on disk and what every metric is computed on."""
    return (image.float().clamp(0, 1) * 255).round().to(torch.uint8)


def psnr(image: Tensor, sharp: Tensor) -> Tensor:
    """Return the PSNR in dB of each image, (B,), from uint8 (B, 3, H, W); infinite where they are equal."""
    value: Tensor = peak_signal_noise_ratio(
        image.float(), sharp.float(), data_range=255.0, reduction="none", dim=(1, 2, 3)
    )
    return value


def ssim(image: Tensor, sharp: Tensor) -> Tensor:
    """Return the SSIM of each image, (B,), from uint8 (B, 3, H, W): mean over channels and the valid region.

    Gaussian window 11x11, sigma 1.5: scikit-image with `gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False` (Wang et al. 2004).
    """
    value: Tensor = ssim_map(image.float(), sharp.float(), window_size=11, max_val=255.0, padding="valid")
    return value.mean(dim=(1, 2, 3))


def _gaussian(device: torch.device) -> Tensor:
    taps = torch.arange(-5, 6, dtype=torch.float64, device=device)
    weights = torch.exp(-(taps**2) / (2 * 1.5**2))
    return (weights / weights.sum()).float()


def _channel_mixing(gaussian: Tensor) -> Tensor:
    """Return the 3x3 matrix that the 11-tap filter is along a channel axis of length 3 with replicated ends."""
    mixing = torch.zeros(3, 3, dtype=gaussian.dtype, device=gaussian.device)
    for output in range(3):
        for tap in range(11):
            mixing[output, min(max(output + tap - 5, 0), 2)] += gaussian[tap]
    return mixing


def ssim_matlab3d(image: Tensor, sharp: Tensor) -> Tensor:
    """Return MATLAB's `ssim(rgb, rgb)` of each image, (B,), from uint8 (B, 3, H, W): the SSIM of the three papers.

    MATLAB takes H x W x 3 for a volume: an 11x11x11 Gaussian of sigma 1.5 with replicated borders on all three
    axes, averaged over the whole map. It is higher than the per-channel `ssim`: never compare one with the other.
    Source: S. Nah in DeepDeblur_release, issue 51.
    """
    gaussian = _gaussian(image.device)
    mixing = _channel_mixing(gaussian)
    # Second moments about mid-grey: about 0 they would cancel in float32.
    x, y = image.float() - 128, sharp.float() - 128
    moments = torch.cat([x, y, x * x, y * y, x * y])
    mixed = torch.einsum("oc,bchw->bohw", mixing, moments)
    smooth: Tensor = filter2d_separable(mixed, gaussian[None], gaussian[None], border_type="replicate")
    mean_x, mean_y, xx, yy, xy = smooth.chunk(5)
    variances = (xx - mean_x**2) + (yy - mean_y**2)
    covariance = xy - mean_x * mean_y
    mean_x, mean_y = mean_x + 128, mean_y + 128
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    denominator = (mean_x**2 + mean_y**2 + c1) * (variances + c2)
    value: Tensor = numerator / denominator
    return value.mean(dim=(1, 2, 3))


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
