"""Building blocks that more than one network uses."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.ops import spatial_rnn


def conv(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution with a bias that keeps H and W, or divides them by `stride`."""
    return nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2)


def deconv(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Return the 4x4 transposed convolution that doubles H and W."""
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)


def leaky(x: Tensor) -> Tensor:
    """The LeakyReLU of both spatial-RNN papers, slope 0.1."""
    return F.leaky_relu(x, 0.1)


def up2(x: Tensor) -> Tensor:
    """Double H and W of (B, C, H, W), bilinearly at half-pixel centres."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def cascade(h: Tensor, w: Tensor) -> Tensor:
    """Filter each quarter of h (B, 4C, H, W) in its own direction alone, by the weights w (B, 4C, H, W).

    The operator computes all four directions of each quarter and three are dropped: only ablations and baselines,
    whose RNNs follow each other without a convolution in between, pay for that.
    """
    quarters = enumerate(h.chunk(4, dim=1))
    return torch.cat([spatial_rnn(quarter, w).chunk(4, dim=1)[d] for d, quarter in quarters], dim=1)
