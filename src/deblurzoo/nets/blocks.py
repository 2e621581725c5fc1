"""Building blocks that more than one network uses."""

from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution with a bias that keeps H and W, or divides them by `stride`."""
    return nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2)


def deconv(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Return the 4x4 transposed convolution that doubles H and W."""
    return nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)


class ResBlock(nn.Module):
    """`x + conv(relu(conv(x)))`: no normalisation, no activation after the sum."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(channels, channels, kernel_size), nn.ReLU(inplace=True), conv(channels, channels, kernel_size)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        return x + self.body(x)  # type: ignore[no-any-return]
