"""Types shared by data, networks, losses and metrics."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn


class Batch(NamedTuple):
    """A batch of a data loader: B samples, each with T consecutive blurry frames and one sharp target."""

    blur: Tensor
    """(B, T, 3, H, W) in [0, 1]: the frame to restore, the next frame (if T > 1) and the previous frame (if T = 3)."""
    sharp: Tensor
    """(B, 3, H, W) in [0, 1]: the sharp image of the frame to restore."""
    clip: Sequence[str]
    """B clip names."""
    frame: Sequence[str]
    """B frame names, unique within their clip."""


class Restored(NamedTuple):
    """The output of a network."""

    image: Tensor
    """(B, 3, H, W), nominally in [0, 1], not clamped."""
    pyramid: tuple[Tensor, ...] = ()
    """Predictions from coarse to fine, each (B, 3, h, w); empty for single-scale networks."""
    flows: tuple[Tensor, ...] = ()
    """Optical flows from fine to coarse, in pixels of their scale; empty if no flow is predicted. Each is (B, 2, h, w),
    flow to the next frame, or (B, 4, h, w), flow to the next and the previous frame."""


def restored_by(net: nn.Module, blur: Tensor) -> Restored:
    """Return a network's output for frames (B, T, 3, H, W). If the output is only the image, wrap it in `Restored`."""
    output = net(blur)
    return output if isinstance(output, Restored) else Restored(output)
