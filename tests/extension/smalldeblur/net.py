"""A network in pure PyTorch, without imports from deblurzoo."""

from torch import Tensor, nn


class Small(nn.Module):
    """Two convolutions with a skip connection from the input."""

    frames = 1
    size_multiple = 4

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, blur: Tensor) -> Tensor:
        """Map (B, 1, 3, H, W) in [0, 1] to (B, 3, H, W)."""
        image: Tensor = blur[:, 0] + self.layers(blur[:, 0])
        return image
