"""The spatially variant RNN on a CPU, compiled by numba. One task computes the four directions of a plane (H, W).

A plane is read once and stays in the cache for all four directions. Operations without recurrence run over whole
planes; the compiler vectorises them. The recurrence `h[t] += v[t] h[t-1]` is the same in both passes: the forward pass
sets v = w, and the backward pass sets v[t] = w[t+1] and reverses t. Vertical scans are vectorised over the columns. In
a horizontal scan, each step depends on the previous step; therefore, four rows are scanned in parallel.
"""

import os

import numpy as np
import torch
from numba import get_num_threads, njit, prange, set_num_threads
from numba.core import config
from numpy.typing import NDArray
from torch import Tensor

PROCESS = os.getpid()
Maps = NDArray[np.floating]


def _is_cached() -> bool:
    """Whether compiled code can be stored; not in a read-only installation without a home folder."""
    try:
        njit(cache=True)(_is_cached)
    except RuntimeError:  # each process compiles for seconds
        return False
    return True


_CACHE = _is_cached()
_plane_code = njit(cache=_CACHE, fastmath={"contract"}, error_model="numpy")
_parallel_code = njit(cache=_CACHE, parallel=True, fastmath={"contract"}, error_model="numpy")


@_plane_code
def _add_product(h, v, before):  # type: ignore[no-untyped-def]
    for j in range(h.size):
        h[j] += v[j] * before[j]


@_plane_code
def _scan_columns(h, v, upwards):  # type: ignore[no-untyped-def]
    """Scan the columns of h (H, W) in place.

    v (H - 1, W) contains the weights: v[t] is for row t + 1 in a scan downwards, and for row t in a scan upwards.
    """
    steps = v.shape[0]
    for step in range(steps):
        if upwards:
            t = steps - 1 - step
            _add_product(h[t], v[t], h[t + 1])
        else:
            _add_product(h[step + 1], v[step], h[step])


@_plane_code
def _scan_rows(h, v, leftwards):  # type: ignore[no-untyped-def]
    """Scan the rows of h (H, W) in place.

    v (H, W - 1) contains the weights: v[:, t] is for column t + 1 in a scan to the right, and for column t in a scan to
    the left.
    """
    height, steps = v.shape
    start = steps if leftwards else 0
    for i in range(0, height - 3, 4):
        h0, h1, h2, h3 = h[i], h[i + 1], h[i + 2], h[i + 3]
        v0, v1, v2, v3 = v[i], v[i + 1], v[i + 2], v[i + 3]
        a0, a1, a2, a3 = h0[start], h1[start], h2[start], h3[start]
        for step in range(steps):
            s = steps - 1 - step if leftwards else step
            t = s if leftwards else s + 1
            h0[t] = a0 = h0[t] + v0[s] * a0
            h1[t] = a1 = h1[t] + v1[s] * a1
            h2[t] = a2 = h2[t] + v2[s] * a2
            h3[t] = a3 = h3[t] + v3[s] * a3
    for i in range(height - height % 4, height):
        a0 = h[i, start]
        for step in range(steps):
            s = steps - 1 - step if leftwards else step
            t = s if leftwards else s + 1
            h[i, t] = a0 = h[i, t] + v[i, s] * a0


@_plane_code
def _scan(h, w, direction, backwards):  # type: ignore[no-untyped-def]
    """Scan h (H, W) in place. `backwards` scans in the opposite direction with the same weights."""
    if direction == 0:
        _scan_rows(h, w[:, 1:], backwards)
    elif direction == 1:
        _scan_rows(h, w[:, :-1], not backwards)
    elif direction == 2:
        _scan_columns(h, w[1:], backwards)
    else:
        _scan_columns(h, w[:-1], not backwards)


@_plane_code
def _fill_inputs(h, x, w):  # type: ignore[no-untyped-def]
    """Set h to (1 - w) x; all arrays are flat."""
    for i in range(h.size):
        h[i] = x[i] - w[i] * x[i]


@_plane_code
def _fill_gradients(x, w, before, gx, gw):  # type: ignore[no-untyped-def]
    """Add the gradient of x to gx. Replace the content of gw, the gradient of h, by the gradient of w.

    `before` is h[t-1]. All arrays are flat.
    """
    for i in range(x.size):
        gh = gw[i]
        gx[i] += gh - w[i] * gh
        gw[i] = (before[i] - x[i]) * gh


@_plane_code
def _gradients(x, w, h, gx, gw, direction):  # type: ignore[no-untyped-def]
    """Apply `_fill_gradients` to a plane (H, W); h[t-1] is the previous pixel of the row or column."""
    height, width = x.shape
    shift = 1 if direction < 2 else width
    start = width - 1 if direction == 1 else 0
    gh_start = gw[:, start].copy()
    nothing = np.zeros(shift, x.dtype)
    x_, w_, h_, gx_, gw_ = x.reshape(-1), w.reshape(-1), h.reshape(-1), gx.reshape(-1), gw.reshape(-1)
    rest = x.size - shift
    if direction % 2 == 0:
        _fill_gradients(x_[shift:], w_[shift:], h_[:rest], gx_[shift:], gw_[shift:])
        _fill_gradients(x_[:shift], w_[:shift], nothing, gx_[:shift], gw_[:shift])
    else:
        _fill_gradients(x_[:rest], w_[:rest], h_[shift:], gx_[:rest], gw_[:rest])
        _fill_gradients(x_[rest:], w_[rest:], nothing, gx_[rest:], gw_[rest:])
    if direction < 2:  # h[t-1] is 0 at the start of a row, not the preceding pixel of the flat array
        for i in range(height):
            gw[i, start] = -x[i, start] * gh_start[i]


@_parallel_code
def _forward(x, w, h):  # type: ignore[no-untyped-def]
    """Fill h (B, 4, C, H, W) from x (B, C, H, W) and w (B, 4, C, H, W)."""
    batch, channels, _, _ = x.shape
    for n in prange(batch * channels):
        b, c = n // channels, n % channels
        for d in range(4):
            _fill_inputs(h[b, d, c].reshape(-1), x[b, c].reshape(-1), w[b, d, c].reshape(-1))
            _scan(h[b, d, c], w[b, d, c], d, False)


@_parallel_code
def _backward(g, x, w, h, gx, gw):  # type: ignore[no-untyped-def]
    """Fill gx (B, C, H, W) and gw (B, 4, C, H, W) with the gradients of x and w."""
    batch, channels, _, _ = x.shape
    for n in prange(batch * channels):
        b, c = n // channels, n % channels
        gx[b, c, :, :] = 0
        for d in range(4):
            gw[b, d, c, :, :] = g[b, d, c]
            _scan(gw[b, d, c], w[b, d, c], d, True)
            _gradients(x[b, c], w[b, d, c], h[b, d, c], gx[b, c], gw[b, d, c], d)


def obstacle(process: int) -> str | None:
    """Return the reason why this backend cannot be used in a process, or None if it can."""
    return None if process == PROCESS else "its threads do not survive a fork of the process"


def _follow_torch_threads() -> None:
    """Set Numba's number of threads to torch's number.

    Numba starts its threads at the first `get_num_threads`, and then sets OpenMP's number, which is torch's number too,
    to the number of cores. Two trainings with `OMP_NUM_THREADS=1` on two cores would compete with two threads each.
    """
    threads = torch.get_num_threads()
    current = get_num_threads()
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    threads = min(threads, config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if current != threads:
        set_num_threads(threads)


def _by_direction(maps: Tensor) -> Maps:
    """Return contiguous maps (B, 4C, H, W) as an array view (B, 4, C, H, W)."""
    batch, channels, height, width = maps.shape
    array: Maps = maps.detach().view(batch, 4, channels // 4, height, width).numpy()
    return array


def forward(x: Tensor, w: Tensor) -> Tensor:
    """Return the results of the four directions, (B, 4C, H, W), for float32 or float64 maps."""
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
