"""Tests of the Triton kernels; test_triton.py runs them on the CPU with TRITON_INTERPRET=1 and on a GPU.

The interpreter takes about 1 ms per pixel, channel and direction: maps are small, and tiles have only 4 steps and 2 or
4 lines, so that maps span several tiles in each direction, with partly empty last tiles.
"""

import os

import pytest
import torch
from torch import Tensor

from deblurzoo.ops.spatial_rnn import reference, rows, spatial_rnn, triton_gpu
from ops.test_spatial_rnn import maps, result_and_gradients

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
SHAPES = [(1, 1, 1, 1), (2, 2, 1, 9), (2, 2, 9, 1), (2, 3, 7, 13), (1, 2, 8, 4), (0, 3, 4, 5)]
LARGE = [(2, 32, 360, 640), (3, 5, 257, 1031), (70000, 1, 2, 3)]

compiled_only = pytest.mark.skipif(INTERPRETED, reason="too slow in the interpreter")


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_gpu, "VERTICAL_TILE", (4, 4))
    monkeypatch.setattr(triton_gpu, "HORIZONTAL_TILE", (4, 2))


def triton(x: Tensor, w: Tensor) -> Tensor:
    return spatial_rnn(x, w, "triton")


def inputs(shape: tuple[int, int, int, int], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, w and the gradient of the result."""
    x, w = (m.detach().to(DEVICE).requires_grad_() for m in maps(shape, dtype))
    g = torch.randn(w.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x, w, g.to(DEVICE, dtype)


def assert_agreement(x: Tensor, w: Tensor, g: Tensor, tolerance: float) -> None:
    """Compare result and gradients with the reference in float64; the tolerance is relative to the largest value."""
    exact = [m.detach().double().requires_grad_() for m in (x, w)]
    expected = result_and_gradients(reference.forward, *exact, g)
    for a, e in zip(result_and_gradients(triton, x, w, g), expected, strict=True):
        scale = max(1.0, e.abs().max().item()) if e.numel() else 1.0
        torch.testing.assert_close(a.double(), e, rtol=0, atol=tolerance * scale)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_reference(shape: tuple[int, int, int, int], dtype: torch.dtype, tolerance: float) -> None:
    assert_agreement(*inputs(shape, dtype), tolerance)


@compiled_only
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("shape", LARGE)
def test_agrees_with_the_reference_in_tiles_of_production(
    shape: tuple[int, int, int, int], dtype: torch.dtype, tolerance: float
) -> None:
    assert_agreement(*inputs(shape, dtype), tolerance)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_maps_are_accumulated_in_float32(dtype: torch.dtype) -> None:
    x, w, g = inputs((1, 2, 7, 13), dtype)
    h, gx, gw = (m.detach() for m in result_and_gradients(triton, x, w, g))
    x32, w32 = x.detach().float(), w.detach().float()
    exact = (rows.forward(x32, w32), *rows.backward(g.float(), x32, w32, h.float()))
    for actual, expected in zip((h, gx, gw), exact, strict=True):
        assert actual.dtype == dtype
        # The interpreter truncates where a GPU rounds.
        torch.testing.assert_close(actual.float(), expected, rtol=torch.finfo(dtype).eps, atol=1e-5)


@pytest.mark.usefixtures("small_tiles")
def test_gradcheck() -> None:
    x, w, _ = inputs((1, 1, 3, 5))
    assert torch.autograd.gradcheck(triton, (x, w), fast_mode=True)


@pytest.mark.usefixtures("small_tiles")
def test_strided_maps_and_gradients() -> None:
    x, wide, _ = inputs((2, 2, 6, 5))
    wide = torch.cat([-wide, wide, wide / 2], dim=1)
    g = torch.randn(2, 6, 5, 8, generator=torch.Generator().manual_seed(1)).double().permute(0, 3, 1, 2).to(DEVICE)
    planes = torch.cat([g, g], dim=1).chunk(2, dim=1)[1]
    assert_agreement(x, wide.chunk(3, dim=1)[1], g, 1e-12)
    assert_agreement(x.to(memory_format=torch.channels_last), wide.chunk(3, dim=1)[2], planes, 1e-12)


def test_chunks_are_not_copied() -> None:
    chunk = torch.zeros(2, 24, 3, 4).chunk(3, dim=1)[1]
    assert triton_gpu._with_contiguous_planes(chunk) is chunk


def assert_the_same_twice(shape: tuple[int, int, int, int]) -> None:
    x, w, g = inputs(shape, torch.float32)
    for first, second in zip(*(result_and_gradients(triton, x, w, g) for _ in range(2)), strict=True):
        assert torch.equal(first, second)


@pytest.mark.usefixtures("small_tiles")
def test_the_same_result_twice() -> None:
    assert_the_same_twice((1, 2, 7, 13))


@compiled_only
def test_the_same_result_twice_in_tiles_of_production() -> None:
    assert_the_same_twice((2, 32, 360, 640))
