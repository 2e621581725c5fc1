"""The spatially variant RNN by torch operations on whole rows: any device, any floating dtype, no compiler.

Top to bottom is one fused operation per row; the other directions are the same on flipped and transposed maps.
"""

import torch
from torch import Tensor


def _down(x: Tensor, w: Tensor) -> Tensor:
    """Return the recurrence from the first to the last row of (B, C, H, W)."""
    h = torch.empty_like(x)
    rows = list(zip(x.unbind(2), w.unbind(2), h.unbind(2), strict=True))
    before = None
    for x_t, w_t, h_t in rows:
        torch.lerp(x_t, torch.zeros_like(x_t) if before is None else before, w_t, out=h_t)
        before = h_t
    return h


def _down_backward(g: Tensor, x: Tensor, w: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and w: gh[t] = g[t] + w[t+1] gh[t+1]."""
    gh = torch.empty_like(x)
    g_rows, w_rows, gh_rows = g.unbind(2), w.unbind(2), gh.unbind(2)
    for t in reversed(range(len(g_rows))):
        if t == len(g_rows) - 1:
            gh_rows[t].copy_(g_rows[t])
        else:
            torch.addcmul(g_rows[t], w_rows[t + 1], gh_rows[t + 1], out=gh_rows[t])
    gw = -x
    gw[:, :, 1:] += h[:, :, :-1]
    return gh - w * gh, gw.mul_(gh)


def _upright(maps: Tensor, direction: int) -> Tensor:
    """Turn maps so that direction 0..3 (left-right, right-left, top-bottom, bottom-top) goes down; its own inverse."""
    turned = maps.flip(3) if direction == 1 else maps.flip(2) if direction == 3 else maps
    return turned.transpose(2, 3).contiguous() if direction < 2 else turned.contiguous()


def _back(maps: Tensor, direction: int) -> Tensor:
    """Undo `_upright`."""
    turned = maps.transpose(2, 3) if direction < 2 else maps
    return turned.flip(3) if direction == 1 else turned.flip(2) if direction == 3 else turned


def forward(x: Tensor, w: Tensor) -> Tensor:
    """Return the four directions, (B, 4C, H, W)."""
    h = torch.empty(w.shape, dtype=w.dtype, device=w.device)
    for direction, (w_d, h_d) in enumerate(zip(w.chunk(4, dim=1), h.chunk(4, dim=1), strict=True)):
        h_d.copy_(_back(_down(_upright(x, direction), _upright(w_d, direction)), direction))
    return h


def backward(g: Tensor, x: Tensor, w: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of x (B, C, H, W) and w (B, 4C, H, W)."""
    gx, gw = torch.zeros(x.shape, dtype=x.dtype, device=x.device), torch.empty(w.shape, dtype=w.dtype, device=w.device)
    quarters = (tensor.chunk(4, dim=1) for tensor in (g, w, h, gw))
    for direction, (g_d, w_d, h_d, gw_d) in enumerate(zip(*quarters, strict=True)):
        upright = (_upright(tensor, direction) for tensor in (g_d, x, w_d, h_d))
        gx_d, gw_down = _down_backward(*upright)
        gx += _back(gx_d, direction)
        gw_d.copy_(_back(gw_down, direction))
    return gx, gw
