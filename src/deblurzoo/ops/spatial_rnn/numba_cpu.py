"""The spatially variant RNN on a CPU, compiled by numba: one task per plane, all four directions in it.

A plane is read once and stays in the cache for its four directions. Vertical scans run over whole rows, which the
compiler vectorises; a horizontal scan waits for its own last result, so several rows are scanned side by side.
"""

import numpy as np
import torch
from numba import get_num_threads, njit, prange, set_num_threads
from numba.core import config
from numpy.typing import NDArray
from torch import Tensor

Maps = NDArray[np.floating]
_plane_code = njit(cache=True, fastmath={"contract"}, error_model="numpy")
_parallel_code = njit(cache=True, parallel=True, fastmath={"contract"}, error_model="numpy")


@_plane_code
def _row(x, w, before, h):  # type: ignore[no-untyped-def]
    """One step of a vertical scan: a whole row, vectorised."""
    for j in range(x.shape[0]):
        h[j] = x[j] + w[j] * (before[j] - x[j])


@_plane_code
def _vertical(x, w, h, upwards):  # type: ignore[no-untyped-def]
    """Scan the columns of a plane (H, W), downwards or upwards."""
    height, width = x.shape
    before = np.zeros(width, x.dtype)
    for step in range(height):
        t = height - 1 - step if upwards else step
        _row(x[t], w[t], before, h[t])
        before = h[t]


@_plane_code
def _horizontal(x, w, h, leftwards):  # type: ignore[no-untyped-def]
    """Scan the rows of a plane (H, W), four side by side: each waits for its own last result."""
    height, width = x.shape
    zero = x.dtype.type(0)
    for i in range(0, height - 3, 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        w0, w1, w2, w3 = w[i], w[i + 1], w[i + 2], w[i + 3]
        h0, h1, h2, h3 = h[i], h[i + 1], h[i + 2], h[i + 3]
        a0 = a1 = a2 = a3 = zero
        for step in range(width):
            t = width - 1 - step if leftwards else step
            h0[t] = a0 = x0[t] + w0[t] * (a0 - x0[t])
            h1[t] = a1 = x1[t] + w1[t] * (a1 - x1[t])
            h2[t] = a2 = x2[t] + w2[t] * (a2 - x2[t])
            h3[t] = a3 = x3[t] + w3[t] * (a3 - x3[t])
    for i in range(height - height % 4, height):
        a0 = zero
        for step in range(width):
            t = width - 1 - step if leftwards else step
            h[i, t] = a0 = x[i, t] + w[i, t] * (a0 - x[i, t])


@_parallel_code
def _forward(x, w, h):  # type: ignore[no-untyped-def]
    """Fill h from x (B, C, H, W) and w, both h and w (B, 4, C, H, W)."""
    batch, channels, _, _ = x.shape
    for n in prange(batch * channels):
        b, c = n // channels, n % channels
        _horizontal(x[b, c], w[b, 0, c], h[b, 0, c], False)
        _horizontal(x[b, c], w[b, 1, c], h[b, 1, c], True)
        _vertical(x[b, c], w[b, 2, c], h[b, 2, c], False)
        _vertical(x[b, c], w[b, 3, c], h[b, 3, c], True)


@_plane_code
def _row_backward(g, x, w, before, carry, gx, gw):  # type: ignore[no-untyped-def]
    """One step of a vertical scan backwards; `carry` is w[t+1] gh[t+1] and becomes w[t] gh[t]."""
    for j in range(x.shape[0]):
        gh = g[j] + carry[j]
        carry[j] = w[j] * gh
        gx[j] += gh - carry[j]
        gw[j] = (before[j] - x[j]) * gh


@_plane_code
def _vertical_backward(g, x, w, h, gx, gw, upwards):  # type: ignore[no-untyped-def]
    """Add to gx and fill gw of a plane (H, W)."""
    height, width = x.shape
    carry, zeros = np.zeros(width, x.dtype), np.zeros(width, x.dtype)
    for step in range(height - 1, -1, -1):
        t = height - 1 - step if upwards else step
        before = zeros if step == 0 else h[t + 1] if upwards else h[t - 1]
        _row_backward(g[t], x[t], w[t], before, carry, gx[t], gw[t])


@_plane_code
def _horizontal_backward(g, x, w, h, gx, gw, leftwards):  # type: ignore[no-untyped-def]
    """Add to gx and fill gw of a plane (H, W), two rows side by side."""
    height, width = x.shape
    zero = x.dtype.type(0)
    for i in range(0, height, 2):
        k = min(i + 1, height - 1)  # an odd last row is its own neighbour and is written once
        c0 = c1 = zero
        for step in range(width - 1, -1, -1):
            t = width - 1 - step if leftwards else step
            last = t + 1 if leftwards else t - 1
            gh0, gh1 = g[i, t] + c0, g[k, t] + c1
            c0, c1 = w[i, t] * gh0, w[k, t] * gh1
            before0 = h[i, last] if step else zero
            before1 = h[k, last] if step else zero
            gx[i, t] += gh0 - c0
            gw[i, t] = (before0 - x[i, t]) * gh0
            if k > i:
                gx[k, t] += gh1 - c1
                gw[k, t] = (before1 - x[k, t]) * gh1


@_parallel_code
def _backward(g, x, w, h, gx, gw):  # type: ignore[no-untyped-def]
    """Fill gx (B, C, H, W) and gw (B, 4, C, H, W)."""
    batch, channels, _, _ = x.shape
    for n in prange(batch * channels):
        b, c = n // channels, n % channels
        gx[b, c, :, :] = 0
        _horizontal_backward(g[b, 0, c], x[b, c], w[b, 0, c], h[b, 0, c], gx[b, c], gw[b, 0, c], False)
        _horizontal_backward(g[b, 1, c], x[b, c], w[b, 1, c], h[b, 1, c], gx[b, c], gw[b, 1, c], True)
        _vertical_backward(g[b, 2, c], x[b, c], w[b, 2, c], h[b, 2, c], gx[b, c], gw[b, 2, c], False)
        _vertical_backward(g[b, 3, c], x[b, c], w[b, 3, c], h[b, 3, c], gx[b, c], gw[b, 3, c], True)


def _follow_torch_threads() -> None:
    threads = min(torch.get_num_threads(), config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if get_num_threads() != threads:
        set_num_threads(threads)


def _by_direction(maps: Tensor) -> Maps:
    """View contiguous (B, 4C, H, W) as an array (B, 4, C, H, W)."""
    batch, channels, height, width = maps.shape
    array: Maps = maps.detach().view(batch, 4, channels // 4, height, width).numpy()
    return array


def forward(x: Tensor, w: Tensor) -> Tensor:
    """Return the four directions, (B, 4C, H, W), of float32 or float64 maps."""
    x, w = x.contiguous(), w.contiguous()
    h = torch.empty(w.shape, dtype=w.dtype)
    _follow_torch_threads()
    if h.numel():
        _forward(x.detach().numpy(), _by_direction(w), _by_direction(h))
    return h


def backward(g: Tensor, x: Tensor, w: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of x (B, C, H, W) and w (B, 4C, H, W)."""
    g, x, w = g.contiguous(), x.contiguous(), w.contiguous()
    gx, gw = torch.empty(x.shape, dtype=x.dtype), torch.empty(w.shape, dtype=w.dtype)
    _follow_torch_threads()
    if gw.numel():
        maps = (_by_direction(w), _by_direction(h), gx.numpy(), _by_direction(gw))
        _backward(_by_direction(g), x.detach().numpy(), *maps)
    return gx, gw
