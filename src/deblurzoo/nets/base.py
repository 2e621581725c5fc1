"""Interface and construction of networks, and restoration of images of any size."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy

from deblurzoo.batch import restored_by
from deblurzoo.config import checked
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.extensions import imported

Fill = Literal["replicate", "zeros"]
FILLS: dict[Fill, str] = {"replicate": "replicate", "zeros": "constant"}
"""Modes of torch's `pad`."""


class DeblurNet(nn.Module):
    """Interface of a network: `forward` maps (B, T, 3, H, W) in [0, 1] to an image (B, 3, H, W) or a `Restored`.

    Any torch.nn.Module with this `forward` and these attributes is supported; inheritance is not required.
    """

    frames: int
    """T, the number of consecutive input frames: 1, 2 or 3."""
    size_multiple: int
    """The input's height and width must be multiples of this number."""
    fill: Fill = "replicate"
    """Pixels appended below and to the right of images of other sizes."""


def pad_mode(net: DeblurNet) -> str:
    """Return the mode of torch's `pad` with which images are padded to a multiple of `size_multiple`."""
    return FILLS[net.fill if isinstance(net, DeblurNet) else "replicate"]


def pad_for(net: DeblurNet, frames: Tensor) -> Tensor:
    """Pad (B, T, 3, H, W) at the bottom and on the right until H and W are multiples of the network's number."""
    bottom, right = (-size % net.size_multiple for size in frames.shape[-2:])
    if not bottom and not right:
        return frames
    padded = F.pad(frames.flatten(0, 1), (0, right, 0, bottom), mode=pad_mode(net))
    return padded.reshape(*frames.shape[:3], *padded.shape[-2:])


def restore_any_size(net: DeblurNet, blur: Tensor, self_ensemble: bool = False) -> Tensor:
    """Return images (B, 3, H, W) restored from (B, T, 3, H, W) of any size, by padding and cropping.

    With `self_ensemble`, return the mean of the images restored from the eight flips and rotations of the frames.
    Reference: Timofte et al., "Seven Ways to Improve Example-Based Single Image Super Resolution", CVPR 2016.
    """
    if not self_ensemble:
        return restored_any_size(net, blur)[0]
    total = torch.zeros_like(blur[:, 0], dtype=torch.float32)
    for turns in range(4):
        for flips in ([], [-1]):
            turned = blur.flip(flips).rot90(turns, (-2, -1)).contiguous()
            total += restored_any_size(net, turned)[0].rot90(-turns, (-2, -1)).flip(flips)
    return total / 8


def restored_any_size(net: DeblurNet, blur: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return images like `restore_any_size`, and the finest flow (B, C, h, w) to the next frame, which is not cropped.

    The flow is None if the network predicts no flow.
    """
    height, width = blur.shape[-2:]
    restored = restored_by(net, pad_for(net, blur))
    flow = restored.flows[0][:, :2] if restored.flows else None
    return restored.image[..., :height, :width].float(), flow


def build_network(target: str | type[nn.Module] | None, arguments: dict[str, Any]) -> DeblurNet:
    """Build a network.

    Args:
        target: network class, or its import path as stated in a config.
        arguments: keyword arguments of the class.

    Raises:
        DeblurzooError: the network class is missing or unsuitable, or an argument is unknown or invalid.
    """
    if target is None:
        raise DeblurzooError("model.net._target_ is not set: set it to the network's class, PACKAGE.MODULE.CLASS")
    kind = imported(target, nn.Module) if isinstance(target, str) else target
    require_network(kind)
    try:
        return cast(DeblurNet, kind(**checked(kind, arguments, "model.net")))
    except (TypeError, ValueError) as error:
        raise DeblurzooError(f"model.net: {first_line(error)}") from error


@contextmanager
def no_larger_than(state: dict[str, Tensor]) -> Iterator[None]:
    """Raise a ValueError as soon as a network under construction becomes much larger than the weights of a file.

    The file's arguments are untrusted: a width of 1,000 would need hundreds of gigabytes, or a million blocks hours.
    """
    thread = get_ident()
    left = 4 * sum(_size(tensor) for tensor in state.values())  # a class may replace parameters, such as by a norm

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal left
        if thread == get_ident() and parameter is not None and not is_lazy(parameter):
            left -= _size(parameter)
        if left < 0:
            raise ValueError("its arguments are of a much larger network than its weights")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _size(tensor: Tensor) -> int:
    """Return the number of values, and some more, because a tensor without values takes time, too."""
    return tensor.numel() + 32


def complete(kind: type[nn.Module], arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a network's arguments with the class's default values for missing ones."""
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | arguments


def require_network(kind: type[nn.Module]) -> None:
    """Raise a DeblurzooError unless a class declares the attributes of `DeblurNet`."""
    for name in ("frames", "size_multiple"):
        if not hasattr(kind, name) and not any(name in vars(cls).get("__annotations__", {}) for cls in kind.__mro__):
            raise DeblurzooError(
                f"{kind.__module__}.{kind.__qualname__} declares no {name}: a network class needs the attributes "
                "frames (number of input frames: 1, 2 or 3) and size_multiple (divisor of the input's height and width)"
            )
