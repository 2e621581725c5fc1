"""Internals of networks with spatial RNNs or optical flow, as tensors and as pictures.

Reference: Zhang et al., CVPR 2018: Fig. 8 (weight maps), Fig. 7 (features before and after the RNNs), Fig. 3
(receptive field).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from deblurzoo.batch import Restored, restored_by
from deblurzoo.media import Image
from deblurzoo.metrics.batches import to_uint8
from deblurzoo.nets import SVRNN, FlowRNN
from deblurzoo.nets.base import DeblurNet, pad_for
from deblurzoo.ops.warp import enlarge, warp
from deblurzoo.pictures.flow_colours import flow_colours

DIRECTIONS = ("left to right", "right to left", "top to bottom", "bottom to top")
_CAPTION, _CAPTION_WIDTH = 18, 100
"""Height of a caption and width of its text, in pixels."""


class Recurrence(NamedTuple):
    """A call of the spatial RNN: the input x (B, C, H, W), and the weights w and the result h, both (B, 4C, H, W)."""

    x: Tensor
    w: Tensor
    h: Tensor


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that records the calls of the spatial RNN in any network."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Recurrence] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.deblurzoo.spatial_rnn.default:
            self.calls.append(Recurrence(args[0], args[1], result))
        return result


@torch.no_grad()
def _watch(net: DeblurNet, blur: Tensor) -> tuple[Restored, list[Recurrence]]:
    recorder = _Recorder()
    with recorder:
        restored = restored_by(net, pad_for(net, blur))
    return restored, recorder.calls


def recurrences(net: DeblurNet, blur: Tensor) -> list[Recurrence]:
    """Restore `blur` (B, T, 3, H, W), of any size, and return all calls of the spatial RNN in order.

    A network with a separate RNN per direction (`no_convs`, Liu2016) makes four calls with the same w in each stage.
    """
    return _watch(net, blur)[1]


def receptive_field(net: SVRNN, blur: Tensor) -> Tensor:
    """Return the influence (H/2, W/2) of each pixel of conv2's output on the centre pixel after all RNNs.

    The influence is the absolute gradient of the centre pixel, summed over channels, with the RNN weights held fixed.
    If there are no convolutions between the RNNs, only the pixels of a cross have an influence; with convolutions, the
    pixels of an area do (Fig. 3).

    Args:
        net: a network with RNNs: any variant except `no_rnns` and `weights_only`.
        blur: (1, 1, 3, H, W) of any size.

    Raises:
        ValueError: the network has no RNNs.
    """
    if net.variant in ("no_rnns", "weights_only"):
        raise ValueError(f"variant {net.variant} of SVRNN has no RNNs")
    with torch.inference_mode(False), torch.enable_grad():
        image = pad_for(net, blur)[:, 0].clone()
        conv2 = net.features(image)[1].detach().requires_grad_()
        after = net.deconvolve(conv2, image)
        height, width = after.shape[-2:]
        (gradient,) = torch.autograd.grad(after[..., height // 2, width // 2].sum(), conv2)
    return gradient[0].abs().sum(dim=0)


def pictures(net: DeblurNet, blur: Tensor, channels: Sequence[int]) -> dict[str, Image]:
    """Return the pictures that a network supports: `weights_N` of RNN N, `features`, `receptive_field`, `flow`.

    Args:
        net: any network.
        blur: (1, T, 3, H, W) of any size.
        channels: indices of the channels to draw; indices beyond the number of channels are ignored.
    """
    restored, calls = _watch(net, blur)
    drawn = {f"weights_{n}": weight_picture(w, channels) for n, w in enumerate(_weights(net, blur, calls), 1)}
    if calls and calls[0].x.shape[-2:] == calls[-1].h.shape[-2:]:  # not for FlowRNN, which has RNNs at three scales
        drawn["features"] = feature_picture(calls[0].x, calls[-1].h, channels)
    if calls and isinstance(net, SVRNN):
        drawn["receptive_field"] = receptive_field_picture(receptive_field(net, blur))
    if restored.flows:
        drawn["flow"] = flow_picture(blur, restored.flows[0])
    return drawn


@torch.no_grad()
def _weights(net: DeblurNet, blur: Tensor, calls: list[Recurrence]) -> list[Tensor]:
    """Return the weights of every RNN, or the maps that `concat_weights` uses in place of RNNs."""
    if isinstance(net, FlowRNN) and net.variant == "concat_weights":
        return list(net.flow_net(pad_for(net, blur).flatten(1, 2))[1])
    # The four calls of a stage share their weights.
    return [call.w for n, call in enumerate(calls) if n == 0 or call.w is not calls[n - 1].w]


def weight_columns(w: Tensor, channels: Sequence[int]) -> dict[str, Image]:
    """Draw the weights (B, 4C, H, W) of the first image: a column per direction, a row per channel.

    Blue is -1, white is 0, red is 1. With a weight of 0, the RNN outputs the input pixel; with 1, its previous output.
    """
    directions = [maps.float().cpu().numpy() for maps in w[0].chunk(4)]
    drawn = _existing(channels, directions[0])
    return {name: _below_each_other(maps[drawn]) for name, maps in zip(DIRECTIONS, directions, strict=True)}


def weight_picture(w: Tensor, channels: Sequence[int]) -> Image:
    """Draw `weight_columns` as one picture with captions; small maps are enlarged."""
    columns = weight_columns(w, channels)
    enlarged = -(-_CAPTION_WIDTH // w.shape[-1])
    maps = np.hstack(list(columns.values())).repeat(enlarged, axis=0).repeat(enlarged, axis=1)
    return np.vstack([_captions(tuple(columns), enlarged * w.shape[-1]), maps])


def feature_columns(before: Tensor, after: Tensor, channels: Sequence[int]) -> dict[str, Image]:
    """Draw the features (B, C, H, W) of the first image before and after the RNNs: two columns, a row per channel.

    Each map is divided by its largest magnitude. Blue is -1, white is 0, red is 1.
    """
    sides = {"before the RNNs": before[0].float().cpu().numpy(), "after the RNNs": after[0].float().cpu().numpy()}
    drawn = _existing(channels, *sides.values())
    scaled = {name: maps / np.abs(maps).max(axis=(1, 2), keepdims=True).clip(1e-12) for name, maps in sides.items()}
    return {name: _below_each_other(maps[drawn]) for name, maps in scaled.items()}


def feature_picture(before: Tensor, after: Tensor, channels: Sequence[int]) -> Image:
    """Draw `feature_columns` as one picture with captions."""
    columns = feature_columns(before, after, channels)
    return np.vstack([_captions(tuple(columns), before.shape[-1]), np.hstack(list(columns.values()))])


def receptive_field_picture(field: Tensor) -> Image:
    """Draw a receptive field (H, W) on a logarithmic scale; values below a millionth of the largest value are black."""
    values = field.float().cpu().numpy()
    exponent = np.log10(np.maximum(values / values.max().clip(1e-30), 1e-6))
    grey = ((1 + exponent / 6) * 255).round().astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)


def flow_picture(blur: Tensor, flow: Tensor) -> Image:
    """Draw a row per neighbouring frame: frame to restore, flow, warped neighbour, 4 |warped neighbour - frame|.

    Args:
        blur: (1, T, 3, H, W) of any size.
        flow: (1, 2 (T - 1), h, w), the finest flow, at a quarter of the padded resolution and in pixels of this scale.
            It has two channels per neighbouring frame, first for the next and then for the previous frame.
    """
    height, width = blur.shape[-2:]
    frame, *others = blur.float().unbind(1)
    rows = [_captions(("frame", "flow", "warped neighbour", "difference x 4"), width)]
    for other, to_other in zip(others, flow.chunk(len(others), dim=1), strict=True):
        full = enlarge(to_other, (4 * flow.shape[-2], 4 * flow.shape[-1]))[..., :height, :width]
        warped = warp(other, full)
        colours = flow_colours(full, longest=float(full.square().sum(dim=1).sqrt().flatten().nanquantile(0.99)))
        difference = 4 * (warped - frame).abs()
        strip = torch.cat([frame, colours, warped, difference], dim=-1)[0]
        rows.append(to_uint8(strip).permute(1, 2, 0).cpu().numpy())
    return np.vstack(rows)


def _existing(channels: Sequence[int], *maps: np.ndarray) -> list[int]:
    return [channel for channel in channels if all(channel < len(m) for m in maps)]


def _below_each_other(maps: np.ndarray) -> Image:
    """Return maps (N, H, W) in [-1, 1] in colour, stacked vertically."""
    return _diverging(maps.reshape(-1, maps.shape[-1]))


def _diverging(values: np.ndarray) -> Image:
    """Return values (H, W) in [-1, 1] as colours from blue through white to red."""
    red, green, blue = (33, 255, 178), (102, 255, 24), (172, 255, 43)
    colours = np.stack([np.interp(values, (-1, 0, 1), stops) for stops in (red, green, blue)])
    return np.ascontiguousarray(colours.transpose(1, 2, 0).round().astype(np.uint8))


def _captions(texts: Sequence[str], width: int) -> Image:
    strip = np.full((_CAPTION, width * len(texts), 3), 255, np.uint8)
    for i, text in enumerate(texts):
        cv2.putText(strip, text, (i * width + 3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return strip
