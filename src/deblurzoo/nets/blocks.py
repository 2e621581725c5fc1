"""Building blocks shared by several networks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.ops import spatial_rnn


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


def up2(x: Tensor) -> Tensor:
    """Double H and W of (B, C, H, W) by bilinear interpolation with half-pixel centres."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def cascade(h: Tensor, w: Tensor) -> Tensor:
    """Apply a spatial RNN to h (B, 4C, H, W) with weights w (B, 4C, H, W): quarter d of the channels in direction d.

    `spatial_rnn` computes all four directions of each quarter, and three of them are discarded. Only the ablations
    and baselines in which RNNs directly follow each other have this overhead.
    """
    quarters = enumerate(h.chunk(4, dim=1))
    return torch.cat([spatial_rnn(quarter, w).chunk(4, dim=1)[d] for d, quarter in quarters], dim=1)
