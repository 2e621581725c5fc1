"""The spatially variant RNN in PyTorch, by operations on whole rows: any device and floating dtype, no compiler.

The recurrence `h[t] += v[t] h[t-1]` is one fused operation per row. The forward pass sets v = w; the backward pass sets
v[t] = w[t+1] and reverses t. Horizontal directions are scanned on transposed copies.
"""

import torch
from torch import Tensor


def _scan_columns(h: Tensor, w: Tensor, downwards: bool, backwards: bool) -> None:
    """Scan h (B, C, H, W) in place along H. `backwards` scans in the opposite direction with the same weights."""
    rows, v = h.unbind(2), (w[:, :, 1:] if downwards else w[:, :, :-1]).unbind(2)
    if downwards != backwards:
        for t in range(len(v)):
            rows[t + 1].addcmul_(v[t], rows[t])
    else:
        for t in reversed(range(len(v))):
            rows[t].addcmul_(v[t], rows[t + 1])


def _scan(h: Tensor, w: Tensor, direction: int, backwards: bool) -> None:
    """Scan h (B, C, H, W) in place; directions 0 to 3: left to right, right to left, downwards, upwards."""
    if direction < 2:
        turned = h.mT.contiguous()
        _scan_columns(turned, w.mT.contiguous(), direction == 0, backwards)
        h.copy_(turned.mT)
    else:
        _scan_columns(h, w, direction == 2, backwards)


def _before_minus_x(x: Tensor, h: Tensor, direction: int) -> Tensor:
    """Return h[t-1] - x[t]."""
    difference = -x
    if direction == 0:
        difference[..., 1:] += h[..., :-1]
    elif direction == 1:
        difference[..., :-1] += h[..., 1:]
    elif direction == 2:
        difference[:, :, 1:] += h[:, :, :-1]
    else:
        difference[:, :, :-1] += h[:, :, 1:]
    return difference


def forward(x: Tensor, w: Tensor) -> Tensor:
    """Return the results of the four directions, (B, 4C, H, W)."""
    h = torch.empty(w.shape, dtype=w.dtype, device=w.device)
    for direction, (w_d, h_d) in enumerate(zip(w.chunk(4, dim=1), h.chunk(4, dim=1), strict=True)):
        torch.addcmul(x, w_d, x, value=-1, out=h_d)
        _scan(h_d, w_d, direction, backwards=False)
    return h


def backward(g: Tensor, x: Tensor, w: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of x (B, C, H, W) and w (B, 4C, H, W)."""
    gx = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    gw = torch.empty(w.shape, dtype=w.dtype, device=w.device).copy_(g)
    for direction, (w_d, h_d, gh) in enumerate(zip(*(t.chunk(4, dim=1) for t in (w, h, gw)), strict=True)):
        _scan(gh, w_d, direction, backwards=True)
        gx.add_(gh).addcmul_(w_d, gh, value=-1)
        gh.mul_(_before_minus_x(x, h_d, direction))  # gh is a view of gw
    return gx, gw
