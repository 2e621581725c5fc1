"""Reference implementation of the spatially variant RNN: all faster backends must agree with it."""

import torch
from torch import Tensor


def left_right(x: Tensor, w: Tensor) -> Tensor:
    """Return `h[t] = (1 - w[t]) x[t] + w[t] h[t-1]`, `h[-1] = 0`, along the last axis of x and w."""
    h, out = torch.zeros_like(x[..., 0]), []
    for x_t, w_t in zip(x.unbind(-1), w.unbind(-1), strict=True):
        h = (1 - w_t) * x_t + w_t * h
        out.append(h)
    return torch.stack(out, dim=-1)


def forward(x: Tensor, w: Tensor) -> Tensor:
    """Return the results of the four directions, (B, 4C, H, W), computed by differentiable PyTorch operations."""
    lr, rl, tb, bt = w.chunk(4, dim=1)
    down = left_right(x.mT, tb.mT).mT
    up = left_right(x.mT.flip(-1), bt.mT.flip(-1)).flip(-1).mT
    return torch.cat([left_right(x, lr), left_right(x.flip(-1), rl.flip(-1)).flip(-1), down, up], dim=1)
