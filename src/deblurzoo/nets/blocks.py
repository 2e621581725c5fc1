"""Building blocks shared by several networks."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.ops import spatial_rnn

Resize = Literal["half_pixel", "caffe"]
"""Bilinear upsampling, see `upsample`."""


def conv(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution with bias and padding; it divides H and W by `stride`."""
    return nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2)


class SameConv2d(nn.Conv2d):
    """Convolution of stride 2, padded like TensorFlow's `SAME` for even sizes.

    With 5x5 kernels, it adds 1 row or column of zeros before and 2 after; with 3x3 kernels, 0 before and 1 after.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int) -> None:
        super().__init__(inputs, outputs, kernel_size, stride=2)
        both = max(kernel_size - 2, 0)
        self.sides = (both // 2, both - both // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W), H and W even, to (B, C', H/2, W/2)."""
        return super().forward(F.pad(x, self.sides))


def deconv(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Return a 4x4 transposed convolution that doubles H and W."""
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)


def leaky(x: Tensor) -> Tensor:
    """Apply LeakyReLU with slope 0.1, as in the papers of SVRNN and FlowRNN."""
    return F.leaky_relu(x, 0.1)


def full_precision(x: Tensor) -> Tensor:
    """Return 16-bit maps in float32, and maps in float32 or float64 unchanged."""
    return x if x.dtype == torch.float64 else x.float()


def upsample(x: Tensor, factor: int, resize: Resize) -> Tensor:
    """Multiply H and W of (B, C, H, W) by an integer factor, by bilinear interpolation.

    `half_pixel` is torch's interpolation. `caffe` is the layer `Resize` of the authors' forks of Caffe: output pixel i
    is sampled at input position i / factor, and pixels outside of the image count as zeros. With factor 2, the last row
    and column are therefore half as bright.
    """
    if resize == "half_pixel":
        return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    triangle = 1 - torch.arange(1 - factor, factor, dtype=x.dtype, device=x.device).abs() / factor
    kernel = torch.outer(triangle, triangle).expand(x.shape[1], 1, -1, -1)
    rest = factor - 1
    return F.conv_transpose2d(x, kernel, None, factor, padding=rest, output_padding=rest, groups=x.shape[1])


def cascade(h: Tensor, w: Tensor) -> Tensor:
    """Apply a spatial RNN to h (B, 4C, H, W) with weights w (B, 4C, H, W): quarter d of the channels in direction d.

    `spatial_rnn` computes all four directions of each quarter, and three of them are discarded. Only the ablations
    and baselines in which RNNs directly follow each other have this overhead.
    """
    quarters = enumerate(h.chunk(4, dim=1))
    return torch.cat([spatial_rnn(quarter, w).chunk(4, dim=1)[d] for d, quarter in quarters], dim=1)
