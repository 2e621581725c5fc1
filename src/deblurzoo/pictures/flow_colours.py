"""Optical flow in the Middlebury colour code (Baker et al., IJCV 2011)."""

import torch
from torch import Tensor


def colour_wheel() -> Tensor:
    """Return the 55 hues of the Middlebury benchmark (Baker et al., IJCV 2011), (55, 3) in [0, 1]."""
    red, yellow, green = (1, 0, 0), (1, 1, 0), (0, 1, 0)
    cyan, blue, magenta = (0, 1, 1), (0, 0, 1), (1, 0, 1)
    corners = torch.tensor([red, yellow, green, cyan, blue, magenta, red])
    hues = []
    for start, end, count in zip(corners[:-1], corners[1:], (15, 6, 4, 11, 13, 6), strict=True):
        share = (torch.arange(count) / count)[:, None]
        hues.append((1 - share) * start + share * end)
    return torch.cat(hues)


def flow_colours(flow: Tensor, longest: float) -> Tensor:
    """Return flows (B, 2, H, W) as colours (B, 3, H, W) in [0, 1]: hue shows the direction, and white means no motion.

    Args:
        flow: displacements in pixels.
        longest: length of a flow that is drawn fully saturated; longer flows are darker, non-finite flows are black.
    """
    wheel, known = colour_wheel().to(flow), flow.isfinite().all(dim=1, keepdim=True)
    u, v = flow.nan_to_num(0, 0, 0).unbind(1)
    scale = longest if longest > 1e-6 else 1e-6  # also if `longest` is NaN
    u, v = u / scale, v / scale
    length = (u.square() + v.square()).sqrt()[..., None]
    position = (torch.atan2(-v, -u) / torch.pi + 1) / 2 * (len(wheel) - 1)
    low = position.floor().long().clamp(max=len(wheel) - 1)
    share = (position - low)[..., None]
    hue = (1 - share) * wheel[low] + share * wheel[(low + 1) % len(wheel)]
    colours = torch.where(length <= 1, 1 - length * (1 - hue), 0.75 * hue)
    return colours.permute(0, 3, 1, 2) * known
