"""The interface of networks: frames, sizes, and images of any size for them."""

from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.batch import restored_by
from deblurzoo.config import checked
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.extensions import imported


class DeblurNet(nn.Module):
    """A network: `forward` takes (B, T, 3, H, W) in [0, 1] and returns the image (B, 3, H, W), or a `Restored`.

    Any torch.nn.Module with these attributes is one; it need not be a subclass.
    """

    frames: int
    """T, how many consecutive frames it reads: 1, 2 or 3."""
    size_multiple: int
    """Of which the height and the width of its input are multiples."""


def pad_to_multiple(frames: Tensor, multiple: int) -> Tensor:
    """Replicate the bottom and right edge of (B, T, 3, H, W) until H and W are multiples of `multiple`."""
    bottom, right = -frames.shape[-2] % multiple, -frames.shape[-1] % multiple
    if not bottom and not right:
        return frames
    padded = F.pad(frames.flatten(0, 1), (0, right, 0, bottom), mode="replicate")
    return padded.reshape(*frames.shape[:3], *padded.shape[-2:])


def restore_any_size(net: DeblurNet, blur: Tensor) -> Tensor:
    """Restore (B, T, 3, H, W) of any size: padded to what the network takes, cropped back to (B, 3, H, W)."""
    height, width = blur.shape[-2:]
    image = restored_by(net, pad_to_multiple(blur, net.size_multiple)).image
    return image[..., :height, :width].float()


def build_network(target: str | type[nn.Module] | None, arguments: dict[str, Any]) -> DeblurNet:
    """Build a network.

    Args:
        target: its class, or the name of one, as a user's config has it.
        arguments: its keyword arguments.

    Raises:
        DeblurzooError: there is no such network, or it has no such argument.
    """
    if target is None:
        raise DeblurzooError("model.net._target_ is not set: name the network's class as PACKAGE.MODULE.CLASS")
    kind = imported(target, nn.Module) if isinstance(target, str) else target
    require_network(kind)
    try:
        return cast(DeblurNet, kind(**checked(kind, arguments, "model.net")))
    except (TypeError, ValueError) as error:
        raise DeblurzooError(f"model.net: {first_line(error)}") from error


def require_network(kind: type[nn.Module]) -> None:
    """Raise a DeblurzooError unless a class declares all that a network is known by."""
    for name in ("frames", "size_multiple"):
        if not hasattr(kind, name) and not any(name in vars(cls).get("__annotations__", {}) for cls in kind.__mro__):
            raise DeblurzooError(
                f"{kind.__module__}.{kind.__qualname__} declares no {name}: a network has frames (how many it reads, "
                "1, 2 or 3) and size_multiple (of its input's height and width) as attributes of the class"
            )
