"""The spatially variant RNN: a linear recurrence in four directions with separate weights for every pixel.

Reference: the linear `GateRecurrent` layer of Zhang et al., CVPR 2018, and Zhang et al., TCSVT 2021 (eq. 13).
"""

import functools
import importlib
import logging
import os
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from deblurzoo.errors import DeblurzooError
from deblurzoo.ops.spatial_rnn import scan

log = logging.getLogger(__name__)

BACKENDS = {"triton": "triton_gpu", "numba": "numba_cpu", "rows": "rows"}
"""Modules of the backends by name. Each module defines `forward` and `backward`.

16-bit maps are converted to float32, unless the module sets `ACCUMULATES = True`, which states that it accumulates in
float32 itself.
"""
REMEDIES = {"triton": "pip install 'deblurzoo[gpu]'", "numba": "pip install numba"}
"""Installation commands of backends that may be missing."""
FASTEST = {
    "cuda": ("triton", "many times slower (one kernel launch per row)"),
    "cpu": ("numba", "about 4 times slower"),
}
"""Fastest backend for each type of device, and how much slower `rows` is. All other devices support only `rows`."""
VARIABLE = "DEBLURZOO_SPATIAL_RNN"
"""Environment variable that selects a backend."""


def spatial_rnn(x: Tensor, w: Tensor, backend: str | None = None) -> Tensor:
    """Filter a map by `h[t] = (1 - w[t]) x[t] + w[t] h[t-1]`, `h[-1] = 0`, in four directions.

    Args:
        x: (B, C, H, W), any floating dtype; 16-bit maps are accumulated in float32, under autocast as well.
        w: (B, 4C, H, W), the weight of each pixel, channel and direction. The channels are four blocks of C, in the
            order left to right, right to left, top to bottom, bottom to top. The filter is stable for |w| < 1.
        backend: `triton` (GPU; for tests also CPU, with TRITON_INTERPRET=1), `numba` (CPU), `rows` (PyTorch only), or
            `scan`. None uses the environment variable DEBLURZOO_SPATIAL_RNN or, if it is not set, the fastest backend
            for the device. The selected backend is logged once. `scan` is for export to programs without deblurzoo: it
            is slow and consists of PyTorch operators that torch can differentiate. The environment variable cannot
            select `scan`. ONNX export (dynamo=True) always uses `scan`.

    Returns:
        (B, 4C, H, W): the results of the four directions in the order of w, in the dtype of x; float32 under autocast.

    Raises:
        ValueError: shapes, dtypes or devices do not match, or the backend is unknown or does not support the device.
        ImportError: the selected backend is not installed.
        RuntimeError: the result is differentiated twice, or in forward mode.
    """
    if x.ndim != 4 or w.shape != (x.shape[0], 4 * x.shape[1], *x.shape[2:]) or min(x.shape[2:]) < 1:
        raise ValueError(f"w must be (B, 4C, H, W) for x (B, C, H, W), got {tuple(w.shape)} and {tuple(x.shape)}")
    if w.dtype != x.dtype or w.device != x.device or not x.is_floating_point():
        raise ValueError(
            f"x and w must share a floating dtype and a device, got {x.dtype, w.dtype, x.device, w.device}"
        )
    if not torch.compiler.is_compiling() and any(unpack_dual(t).tangent is not None for t in (x, w)):  # type: ignore[no-untyped-call]
        raise RuntimeError("spatial_rnn has no forward-mode derivative: use ops.spatial_rnn.reference.forward instead")
    if _is_for_export(backend):
        dtype = _dtype_for(scan, x)
        return scan.forward(x.to(dtype), w.to(dtype)).to(x.dtype)
    h: Tensor = _spatial_rnn(x, w, backend or "")
    return h


def _is_for_export(backend: str | None) -> bool:
    return backend == "scan" or torch.onnx.is_in_onnx_export()


@torch.library.custom_op("deblurzoo::spatial_rnn", mutates_args=())
def _spatial_rnn(x: Tensor, w: Tensor, backend: str) -> Tensor:
    module = _module(backend, x.device.type)
    dtype = _dtype_for(module, x)
    h: Tensor = module.forward(x.to(dtype), w.to(dtype)).to(x.dtype)
    return h


@torch.library.custom_op("deblurzoo::spatial_rnn_backward", mutates_args=())
def _spatial_rnn_backward(g: Tensor, x: Tensor, w: Tensor, h: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    module = _module(backend, x.device.type)
    dtype = _dtype_for(module, x)
    gx, gw = module.backward(g.to(dtype), x.to(dtype), w.to(dtype), h.to(dtype))
    return gx.to(x.dtype), gw.to(x.dtype)


def _dtype_for(module: ModuleType, x: Tensor) -> torch.dtype:
    """Return the dtype to which the maps are converted for a backend."""
    if x.dtype == torch.float64 or getattr(module, "ACCUMULATES", False):
        return x.dtype
    return torch.float32


@_spatial_rnn.register_fake
def _(x: Tensor, w: Tensor, backend: str) -> Tensor:
    return w.new_empty(w.shape)


@_spatial_rnn_backward.register_fake
def _(g: Tensor, x: Tensor, w: Tensor, h: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), w.new_empty(w.shape)


def _save(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Tensor, str], output: Tensor) -> None:
    x, w, ctx.backend = inputs  # type: ignore[attr-defined]
    ctx.save_for_backward(x, w, output)


def _differentiate(ctx: torch.autograd.function.FunctionCtx, g: Tensor) -> tuple[Tensor, Tensor, None]:
    gx, gw = _spatial_rnn_backward(g, *ctx.saved_tensors, ctx.backend)  # type: ignore[attr-defined]
    return gx, gw, None


def _refuse_double_backward(*_: object) -> None:
    raise RuntimeError("spatial_rnn cannot be differentiated twice: use ops.spatial_rnn.reference.forward instead")


_spatial_rnn.register_autograd(_differentiate, setup_context=_save)
_spatial_rnn_backward.register_autograd(_refuse_double_backward)
for _device in ("cpu", "cuda"):
    # 16-bit weights near 1 would be rounded to 1: under autocast the recurrence stays in float32.
    _spatial_rnn.register_autocast(_device, torch.float32)


def _module(backend: str, device: str) -> ModuleType:
    """Return the module of a backend; an empty name selects the default backend."""
    name = backend or os.environ.get(VARIABLE, "") or _fastest(device, os.getpid())
    if name not in BACKENDS:
        raise ValueError(f"spatial_rnn has no backend {name!r}: choose one of {', '.join(BACKENDS)}")
    if name == "numba" and device != "cpu":
        raise ValueError(
            f"the numba backend of spatial_rnn requires a CPU, but the maps are on {device}: use triton or rows"
        )
    if name == "triton" and device != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(
            f"the triton backend of spatial_rnn requires a GPU, but the maps are on {device}: use numba or rows"
        )
    return _load(name)


@functools.cache
def _load(name: str) -> ModuleType:
    try:
        module = importlib.import_module(f"{__name__}.{BACKENDS[name]}")
    except ImportError as error:
        raise ImportError(f"the {name} backend of spatial_rnn is not installed ({error}): {REMEDIES[name]}") from error
    log.info("spatial_rnn runs on backend %s", name)
    return module


@functools.cache
def _fastest(device: str, process: int) -> str:
    """Return the fastest backend that is available for a device; log a warning on fallback to `rows`.

    `process`, the id of the current process, separates cached results: a forked process may support fewer backends.
    """
    if device not in FASTEST:
        return "rows"
    name, loss = FASTEST[device]
    try:
        obstacle = importlib.import_module(f"{__name__}.{BACKENDS[name]}").obstacle(process)
    except ImportError as error:
        obstacle = f"{error}: {REMEDIES[name]}"
    if obstacle:
        log.warning("spatial_rnn runs on backend rows, %s, because %s cannot be used: %s", loss, name, obstacle)
        return "rows"
    return name


def require_backend() -> None:
    """Raise a DeblurzooError if the environment variable selects a backend that cannot run on this machine."""
    if name := os.environ.get(VARIABLE):
        try:
            _module(name, "cuda" if torch.cuda.is_available() and name == "triton" else "cpu")
        except (ValueError, ImportError) as error:
            raise DeblurzooError(f"{VARIABLE}={name}: {error}") from error
