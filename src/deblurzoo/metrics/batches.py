"""Batches of images on a device as the 8-bit pictures that are measured, and means of figures over images."""

from collections.abc import Iterator
from typing import Literal

import torch
import torchmetrics
from torch import Tensor
from torchmetrics import MetricCollection

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.metrics import measured

Rounding = Literal["nearest", "floor"]


def to_uint8(image: Tensor, rounding: Rounding = "nearest") -> Tensor:
    """Clamp to [0, 1], scale by 255 and round: what a user gets on disk and what every metric is computed on.

    `floor` is what SRN's published script does; it costs about 0.02 dB at 30 dB.
    """
    scaled = image.float().clamp(0, 1) * 255
    return (scaled.floor() if rounding == "floor" else scaled.round()).to(torch.uint8)


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
        for one, reference in zip(as_images(image), as_images(sharp), strict=True):
            try:
                self.total += measured(self.metric_name, one, reference)
            except ValueError as error:
                raise DeblurzooError(f"validation: {error}") from error
            self.images += 1

    def compute(self) -> Tensor:
        """Return the mean over all images seen."""
        return (self.total / self.images).float()


def as_images(batch: Tensor) -> Iterator[Image]:
    """Yield each of (B, 3, H, W) in [0, 1] as uint8 (H, W, 3) in the CPU's memory."""
    yield from to_uint8(batch).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def image_metrics(*names: str) -> MetricCollection:
    """Return the named metrics, each a mean over images."""
    return MetricCollection({name: MeanOverImages(name) for name in names}, compute_groups=False)
