"""The spatially variant RNN on a GPU, in Triton: each program scans a few lines of one plane (H, W), tile by tile.

The recurrence `h[t] = a[t] + b[t] h[t-1]` is associative, so that the steps of a tile are scanned in parallel. The
result of the last step of a tile is carried into the next tile. In vertical directions (2, 3), lines are columns and
steps are rows. In horizontal directions (0, 1), lines are rows and steps are columns. The axes of a tile are always
(rows, columns), so that neighbouring threads read neighbouring columns. AXIS is the axis of the scan: 0 in vertical and
1 in horizontal directions.

Pointers to planes have 64 bits, but offsets within a plane have 32 bits: a plane must have fewer than 2^31 pixels.
"""

# Triton compiles these functions: arguments have Triton types, and compile-time constants have upper-case names.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

import os
import shutil

import torch
import triton
import triton.language as tl
from torch import Tensor

ACCUMULATES = True
"""16-bit maps are loaded and stored in 16 bits and accumulated in float32."""
VERTICAL_TILE = (8, 128)
HORIZONTAL_TILE = (256, 4)
"""Numbers of steps and lines, powers of 2. Threads read 16 bytes of a row at a time without register spills (sm_90)."""


@triton.jit
def _after(a1, b1, a2, b2):
    """Return the composition of step `a1 + b1 h` and the following step `a2 + b2 h` as one step `a + b h`."""
    return a2 + b2 * a1, b1 * b2


@triton.jit
def _plane(plane, direction, channels, batch_stride, channel_stride):
    """Return the offset of plane `batch * C + channel` in x (B, C, H, W), or in one direction of maps (B, 4C, H, W).

    `plane` has 64 bits; therefore the offset has 64 bits.
    """
    return plane // channels * batch_stride + (direction * channels + plane % channels) * channel_stride


@triton.jit
def _pixels(step, line, height, width, REVERSE: tl.constexpr, AXIS: tl.constexpr):
    """Return the offsets of a tile's pixels within the plane, and a mask of the pixels that exist.

    With REVERSE, steps are counted from the far end, since `associative_scan(reverse=True)` is unreliable.
    """
    if AXIS == 0:
        row = height - 1 - step if REVERSE else step
        column = line
    else:
        row = line
        column = width - 1 - step if REVERSE else step
    exist = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return row * width + column, exist


@triton.jit
def _scan(added, kept, carry, step, AXIS: tl.constexpr, STEPS: tl.constexpr):
    """Return `h[t] = added[t] + kept[t] h[t-1]` for a tile, with h[-1] = `carry`, and the carry for the next tile."""
    added, kept = tl.associative_scan((added, kept), AXIS, _after)
    h = added + kept * carry
    return h, tl.sum(tl.where(step == STEPS - 1, h, 0), axis=AXIS, keep_dims=True)


@triton.jit
def _scan_lines(
    x, w, h, height, width, first_line,
    REVERSE: tl.constexpr, AXIS: tl.constexpr, STEPS: tl.constexpr, LINES: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Fill LINES lines of a plane of h; x, w and h are pointers to planes (H, W)."""
    step = tl.expand_dims(tl.arange(0, STEPS), 1 - AXIS)
    line = first_line + tl.expand_dims(tl.arange(0, LINES), AXIS)
    carry = tl.zeros_like(line).to(EXACT)
    for start in range(0, height if AXIS == 0 else width, STEPS):
        here, exist = _pixels(start + step, line, height, width, REVERSE, AXIS)
        x_t = tl.load(x + here, mask=exist, other=0).to(EXACT)
        w_t = tl.load(w + here, mask=exist, other=0).to(EXACT)
        h_t, carry = _scan((1 - w_t) * x_t, w_t, carry, step, AXIS, STEPS)
        tl.store(h + here, h_t, mask=exist)


@triton.jit
def _forward(
    x, w, h, channels, height, width,
    x_batch, x_channel, w_batch, w_channel, h_batch, h_channel,
    AXIS: tl.constexpr, STEPS: tl.constexpr, LINES: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Fill LINES lines of one direction of a plane; the grid is (2 B C, blocks of lines).

    The two directions of a plane are neighbours in the grid, so that the second direction finds x in the cache.
    """
    plane = tl.program_id(0).to(tl.int64) // 2
    backwards = tl.program_id(0) % 2
    direction = 2 * (1 - AXIS) + backwards
    x += _plane(plane, 0, channels, x_batch, x_channel)
    w += _plane(plane, direction, channels, w_batch, w_channel)
    h += _plane(plane, direction, channels, h_batch, h_channel)
    first_line = tl.program_id(1) * LINES
    # Two compiled branches instead of a computed flip, so that the compiler sees contiguous steps and vectorises loads.
    if backwards == 0:
        _scan_lines(x, w, h, height, width, first_line, False, AXIS, STEPS, LINES, EXACT)
    else:
        _scan_lines(x, w, h, height, width, first_line, True, AXIS, STEPS, LINES, EXACT)


@triton.jit
def _scan_lines_backward(
    g, x, w, h, gx, gw, height, width, first_line,
    ADD: tl.constexpr,
    REVERSE: tl.constexpr, AXIS: tl.constexpr, STEPS: tl.constexpr, LINES: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Fill LINES lines of a plane of gw and gx; with ADD, add to gx instead of filling it.

    g, x, w, h, gx and gw are pointers to planes (H, W). Gradients are scanned in the opposite direction,
    `gh[t] = g[t] + w[t+1] gh[t+1]`: steps are counted from the last pixel.
    """
    step = tl.expand_dims(tl.arange(0, STEPS), 1 - AXIS)
    line = first_line + tl.expand_dims(tl.arange(0, LINES), AXIS)
    carry = tl.zeros_like(line).to(EXACT)
    for start in range(0, height if AXIS == 0 else width, STEPS):
        here, exist = _pixels(start + step, line, height, width, REVERSE, AXIS)
        later, later_exist = _pixels(start + step - 1, line, height, width, REVERSE, AXIS)  # t + 1
        before, before_exist = _pixels(start + step + 1, line, height, width, REVERSE, AXIS)  # t - 1
        g_t = tl.load(g + here, mask=exist, other=0).to(EXACT)
        x_t = tl.load(x + here, mask=exist, other=0).to(EXACT)
        w_t = tl.load(w + here, mask=exist, other=0).to(EXACT)
        w_later = tl.load(w + later, mask=later_exist, other=0).to(EXACT)
        h_before = tl.load(h + before, mask=before_exist, other=0).to(EXACT)
        gh, carry = _scan(g_t, w_later, carry, step, AXIS, STEPS)
        gx_t = (1 - w_t) * gh
        if ADD:
            gx_t += tl.load(gx + here, mask=exist, other=0)
        tl.store(gx + here, gx_t, mask=exist)
        tl.store(gw + here, (h_before - x_t) * gh, mask=exist)


@triton.jit
def _backward(
    g, x, w, h, gx, gw, channels, height, width,
    g_batch, g_channel, x_batch, x_channel, w_batch, w_channel, h_batch, h_channel, gx_batch, gx_channel,
    FIRST: tl.constexpr, END: tl.constexpr,
    AXIS: tl.constexpr, STEPS: tl.constexpr, LINES: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Scan LINES lines of a plane in the directions FIRST to END - 1, in order; the grid is (B C, blocks of lines).

    Direction 0 fills gx, the other directions add to gx. gw has the same strides as h.
    """
    plane = tl.program_id(0).to(tl.int64)
    x += _plane(plane, 0, channels, x_batch, x_channel)
    gx += _plane(plane, 0, channels, gx_batch, gx_channel)
    for direction in tl.static_range(FIRST, END):
        h_plane = _plane(plane, direction, channels, h_batch, h_channel)
        _scan_lines_backward(
            g + _plane(plane, direction, channels, g_batch, g_channel),
            x,
            w + _plane(plane, direction, channels, w_batch, w_channel),
            h + h_plane,
            gx,
            gw + h_plane,
            height,
            width,
            tl.program_id(1) * LINES,
            direction > 0,
            direction % 2 == 0,
            AXIS,
            STEPS,
            LINES,
            EXACT,
        )
        tl.debug_barrier()  # in the next direction, threads add to values written by other threads of this program


def obstacle(process: int) -> str | None:
    """Return the reason why this backend cannot be used in a process, or None if it can."""
    compilers = (os.environ.get("CC"), "cc", "gcc", "clang")
    return None if any(name and shutil.which(name) for name in compilers) else "no C compiler is installed"


def _with_contiguous_planes(maps: Tensor) -> Tensor:
    """Return maps with contiguous planes, copied only if necessary. A `chunk` of contiguous maps is not copied."""
    return maps if maps[0, 0].is_contiguous() else maps.contiguous()


def _exact(x: Tensor) -> tuple[torch.dtype, tl.dtype]:
    """Return the dtype in which maps are accumulated, as a torch dtype and as a Triton dtype."""
    return (torch.float64, tl.float64) if x.dtype == torch.float64 else (torch.float32, tl.float32)


def forward(x: Tensor, w: Tensor) -> Tensor:
    """Return the results of the four directions, (B, 4C, H, W), for maps of any floating dtype."""
    h = torch.empty(w.shape, dtype=w.dtype, device=w.device)
    if not h.numel():
        return h
    x, w = _with_contiguous_planes(x), _with_contiguous_planes(w)
    batch, channels, height, width = x.shape
    strides = [stride for maps in (x, w, h) for stride in maps.stride()[:2]]
    with torch.cuda.device(x.get_device()):  # no effect for maps on the CPU (Triton's interpreter): their device is -1
        for axis, (steps, lines), size in ((1, HORIZONTAL_TILE, height), (0, VERTICAL_TILE, width)):
            grid = (2 * batch * channels, triton.cdiv(size, lines))
            _forward[grid](x, w, h, channels, height, width, *strides, axis, steps, lines, _exact(x)[1])
    return h


def backward(g: Tensor, x: Tensor, w: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of x (B, C, H, W) and w (B, 4C, H, W).

    Three consecutive launches add to gx without atomics, so that results are deterministic.
    """
    dtype, exact = _exact(x)
    gx = torch.empty(x.shape, dtype=dtype, device=x.device)
    gw = torch.empty(w.shape, dtype=w.dtype, device=w.device)
    if not gw.numel():
        return gx.to(x.dtype), gw
    g, x, w, h = _with_contiguous_planes(g), _with_contiguous_planes(x), _with_contiguous_planes(w), h.contiguous()
    batch, channels, height, width = x.shape
    strides = [stride for maps in (g, x, w, h, gx) for stride in maps.stride()[:2]]
    arguments = (g, x, w, h, gx, gw, channels, height, width, *strides)
    with torch.cuda.device(x.get_device()):  # no effect for maps on the CPU (Triton's interpreter): their device is -1
        for first, end, axis, (steps, lines), size in (
            (0, 2, 1, HORIZONTAL_TILE, height),
            (2, 3, 0, VERTICAL_TILE, width),
            (3, 4, 0, VERTICAL_TILE, width),
        ):
            grid = (batch * channels, triton.cdiv(size, lines))
            _backward[grid](*arguments, first, end, axis, steps, lines, exact)
    return gx.to(x.dtype), gw
