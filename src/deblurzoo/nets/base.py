"""Padding of frames to the sizes that a network takes."""

import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.batch import restored_by


def pad_to_multiple(frames: Tensor, multiple: int) -> Tensor:
    """Replicate the bottom and right edge of (B, T, 3, H, W) until H and W are multiples of `multiple`."""
    bottom, right = -frames.shape[-2] % multiple, -frames.shape[-1] % multiple
    if not bottom and not right:
        return frames
    padded = F.pad(frames.flatten(0, 1), (0, right, 0, bottom), mode="replicate")
    return padded.reshape(*frames.shape[:3], *padded.shape[-2:])


def restore_any_size(net: nn.Module, blur: Tensor) -> Tensor:
    """Restore (B, T, 3, H, W) of any size: padded to what the network takes, cropped back to (B, 3, H, W)."""
    height, width = blur.shape[-2:]
    image = restored_by(net, pad_to_multiple(blur, int(net.size_multiple))).image  # type: ignore[arg-type]
    return image[..., :height, :width].float()
