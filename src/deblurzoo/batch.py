"""The two types that data, networks, losses and metrics share."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn


class Batch(NamedTuple):
    """What a data loader gives: B samples of T consecutive blurry frames and one sharp target each."""

    blur: Tensor
    """(B, T, 3, H, W) in [0, 1]; frame 0 is the one to restore, then its next, then its previous frame."""
    sharp: Tensor
    """(B, 3, H, W) in [0, 1]: the sharp picture of frame 0."""
    clip: Sequence[str]
    """B clip names."""
    frame: Sequence[str]
    """B frame names, unique within their clip."""


class Restored(NamedTuple):
    """What every network returns."""

    image: Tensor
    """(B, 3, H, W), nominally in [0, 1], not clamped."""
    pyramid: tuple[Tensor, ...] = ()
    """Predictions from coarse to fine, each (B, 3, h, w); empty for single-scale networks."""
    flows: tuple[Tensor, ...] = ()
    """Optical flows from fine to coarse, in pixels of their scale, empty without flow: each (B, 2, h, w) to the next
    frame, or (B, 4, h, w) to the next and to the previous one."""


def restored_by(net: nn.Module, blur: Tensor) -> Restored:
    """Return what a network makes of (B, T, 3, H, W); one that returns the image alone need not know `Restored`."""
    output = net(blur)
    return output if isinstance(output, Restored) else Restored(output)
