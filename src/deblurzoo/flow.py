"""Optical flow: warping by it, its error, and its picture in the Middlebury colour code.

A flow (B, 2, H, W) holds u (to the right) and v (downwards) in pixels: what is at (x, y) in one frame is at
(x + u, y + v) in the other.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Return `image` (B, C, H, W) sampled bilinearly at (x + u, y + v): the other frame as seen from this one.

    Where that is outside of [0, W) x [0, H) the result is 0 and the flow gets no gradient; within, beyond the last
    pixel's centre, that pixel is repeated (the FlowWarp layer of the TCSVT 2021 code). Where the flow is NaN, so is
    the result.
    """
    height, width = image.shape[-2:]
    flow = flow.float()
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    grid = torch.where(inside[..., None], grid, 0)  # NaN must not get into `grid_sample`
    sampled = F.grid_sample(image.float(), grid, padding_mode="border", align_corners=True)
    return sampled * torch.where(flow.isnan().any(dim=1), torch.nan, inside.float())[:, None]


def enlarge(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a flow (B, 2, h, w) in pixels of its scale at another size (H, W), in pixels of that."""
    height, width = flow.shape[-2:]
    grown = F.interpolate(flow.float(), size, mode="bilinear", align_corners=False)
    return grown * grown.new_tensor([size[1] / width, size[0] / height])[:, None, None]


def end_point_error(flow: Tensor, truth: Tensor) -> Tensor:
    """Return the distances in pixels between two flows (B, 2, H, W), as (B, H, W)."""
    return (flow - truth).square().sum(dim=1).sqrt()


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
    """Return flows (B, 2, H, W) as colours (B, 3, H, W) in [0, 1]: the hue is the heading, white is no motion.

    Args:
        flow: in pixels.
        longest: the length with the fullest colour; longer flows are darker, and what is not finite is black.
    """
    wheel, known = colour_wheel().to(flow), flow.isfinite().all(dim=1, keepdim=True)
    u, v = flow.nan_to_num(0, 0, 0).unbind(1)
    scale = longest if longest > 1e-6 else 1e-6  # also of NaN
    u, v = u / scale, v / scale
    length = (u.square() + v.square()).sqrt()[..., None]
    position = (torch.atan2(-v, -u) / torch.pi + 1) / 2 * (len(wheel) - 1)
    low = position.floor().long().clamp(max=len(wheel) - 1)
    share = (position - low)[..., None]
    hue = (1 - share) * wheel[low] + share * wheel[(low + 1) % len(wheel)]
    colours = torch.where(length <= 1, 1 - length * (1 - hue), 0.75 * hue)
    return colours.permute(0, 3, 1, 2) * known
