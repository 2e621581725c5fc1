"""Optical flow: warping, rescaling, end-point error.

A flow (B, 2, H, W) contains u (to the right) and v (downwards) in pixels: the point at (x, y) in the first frame is at
(x + u, y + v) in the second frame.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Return `image` (B, C, H, W), the second frame, aligned with the first by bilinear sampling at (x + u, y + v).

    If this point is outside of [0, W) x [0, H), the result is 0 and the flow receives no gradient. If it is inside, but
    beyond the centre of the last pixel, the last pixel is repeated. If the flow is NaN, the result is NaN.

    Reference: the FlowWarp layer of the TCSVT 2021 code.
    """
    height, width = image.shape[-2:]
    flow = flow.float()
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    grid = torch.where(inside[..., None], grid, 0)  # NaN must not reach `grid_sample`
    sampled = F.grid_sample(image.float(), grid, padding_mode="border", align_corners=True)
    return sampled * torch.where(flow.isnan().any(dim=1), torch.nan, inside.float())[:, None]


def enlarge(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a flow (B, 2, h, w) resized to `size` (H, W); its values are rescaled to pixels of the new size."""
    height, width = flow.shape[-2:]
    grown = F.interpolate(flow.float(), size, mode="bilinear", align_corners=False)
    return grown * grown.new_tensor([size[1] / width, size[0] / height])[:, None, None]


def end_point_error(flow: Tensor, truth: Tensor) -> Tensor:
    """Return the end-point error (B, H, W) in pixels between two flows (B, 2, H, W)."""
    return (flow - truth).square().sum(dim=1).sqrt()
