"""Time the backends of the spatial RNN against the naive loop and the device's memory bandwidth.

python benchmarks/spatial_rnn.py [--device cuda] [--dtype bfloat16] [--repeats N] [--threads N]

The script prints medians over rounds. Each round measures the bandwidth and all backends in turn. The limit is the time
to move the minimum number of bytes at the bandwidth of `a + b -> c` on arrays of 128 MiB. The forward pass moves 9 maps
of the size of x (x, w and h); the forward and the backward pass together move 27 maps.
"""

import time
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from deblurzoo.benchmark.harness import Figures, in_new_process, measured, parser, resident_peak, show
from deblurzoo.errors import as_program
from deblurzoo.ops.spatial_rnn import reference, spatial_rnn

SHAPES = {
    "SVRNN at 720p": (1, 32, 360, 640),
    "SVRNN in training": (20, 32, 64, 64),
    "FlowRNN 1/2 at 720p": (1, 24, 352, 640),
    "FlowRNN 1/4 at 720p": (1, 48, 176, 320),
    "FlowRNN 1/8 at 720p": (1, 96, 88, 160),
}
GPU_SHAPES = {"eight 720p frames": (8, 32, 360, 640), **SHAPES}
NAIVE, BANDWIDTH = "naive loop (autograd)", "bandwidth"
BACKENDS = {"cpu": ["numba", "rows", NAIVE], "cuda": ["triton", "rows", NAIVE]}
FORWARD_MAPS, ALL_MAPS = 9, 27
Shape = tuple[int, ...]
Case = tuple[str, str]
"""Name of the shape, and name of the backend or `BANDWIDTH`."""


@cache
def inputs(shape: Shape, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, w and the gradient of the result."""
    generator = torch.Generator().manual_seed(0)
    b, c, h, w = shape
    x = torch.randn(shape, generator=generator)
    weights = torch.tanh(torch.randn(b, 4 * c, h, w, generator=generator))
    g = torch.randn(weights.shape, generator=generator)
    x, weights, g = (t.to(device, dtype) for t in (x, weights, g))
    return x.requires_grad_(), weights.requires_grad_(), g


def operator(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function of a backend or of the naive loop."""
    return reference.forward if name == NAIVE else lambda x, w: spatial_rnn(x, w, name)


def both(name: str, x: Tensor, w: Tensor, g: Tensor) -> tuple[Tensor, ...]:
    """Return the result and the gradients of a backend."""
    h = operator(name)(x, w)
    return h, *torch.autograd.grad(h, (x, w), g)


def milliseconds(task: Callable[[], object], device: str) -> float:
    """Return the time of a task in milliseconds. The device is idle before and after the task."""
    if device == "cpu":
        start = time.perf_counter()
        task()
        return 1e3 * (time.perf_counter() - start)
    start_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start_event.record()
    task()
    end_event.record()
    torch.cuda.synchronize()
    return float(start_event.elapsed_time(end_event))


def rate(device: str) -> float:
    """Return the bytes per millisecond moved by `a + b -> c`, after one warm-up run."""
    a, b, c = (torch.ones(2**25, device=device) for _ in range(3))
    torch.add(a, b, out=c)
    return 3 * 4 * 2**25 / milliseconds(lambda: torch.add(a, b, out=c), device)


@cache
def error(name: str, shape: Shape, device: str, dtype: torch.dtype) -> float:
    """Return the largest absolute error of the result and the gradients, compared with float64 on the same inputs."""
    x, w, g = inputs(shape, device, dtype)
    exact = [t.detach().double().requires_grad_() for t in (x, w)]
    pairs = zip(both(name, x, w, g), both("rows", *exact, g.double()), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


@cache
def peak_bytes(name: str, shape: Shape, device: str, dtype: torch.dtype) -> Figures:
    """Return the peak memory added by a forward and backward pass; on a CPU, measured in a new process."""
    if device == "cpu":  # the new process returns freed memory to the system
        return in_new_process(peak_bytes_here, name, shape, str(dtype).removeprefix("torch."), keep=False)
    x, w, g = inputs(shape, device, dtype)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    both(name, x, w, g)
    return {"peak": torch.cuda.max_memory_allocated() - before}


def peak_bytes_here(name: str, shape: list[int], dtype: str) -> Figures:
    """Return the peak resident memory added by a forward and backward pass in this process (Linux only)."""
    both(name, *inputs((1, 2, 4, 4), "cpu", getattr(torch, dtype)))  # compile and import first
    x, w, g = inputs(tuple(shape), "cpu", getattr(torch, dtype))
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before = resident_peak()
    both(name, x, w, g)
    return {"peak": resident_peak() - before}


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, repeats=7)
    options.add_argument("--device", choices=BACKENDS, default="cpu")
    options.add_argument("--dtype", choices=("float32", "bfloat16", "float16", "float64"), default="float32")
    options.add_argument("--shapes", nargs="+", metavar="NAME", help="names of shapes; by default all of the device")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    device, dtype = given.device, getattr(torch, given.dtype)
    known = GPU_SHAPES if device == "cuda" else SHAPES
    if unknown := {*(given.shapes or ())} - {*known}:
        options.error(f"no such shape: {', '.join(sorted(unknown))}. The shapes are {', '.join(known)}")
    shapes = {name: shape for name, shape in known.items() if not given.shapes or name in given.shapes}

    def measure(case: Case) -> Figures:
        title, name = case
        if name == BANDWIDTH:
            return {"rate": rate(device)}
        place = shapes[title], device, dtype
        x, w, g = inputs(*place)
        # `error` and `peak_bytes` are cached: only the first round calls them, which also compiles the backend.
        once = {"error": error(name, *place), **peak_bytes(name, *place)}
        with torch.no_grad():
            forward = milliseconds(lambda: operator(name)(x, w), device)
        return {"forward": forward, "both": milliseconds(lambda: both(name, x, w, g), device), **once}

    found = measured(list(product(shapes, [BANDWIDTH, *BACKENDS[device]])), measure, given)
    for title, shape in shapes.items():
        print_shape(found, title, f"{title} {shape} {dtype} on {device}", dtype.itemsize * torch.Size(shape).numel())


def print_shape(found: dict[Case, Figures], title: str, place: str, map_bytes: int) -> None:
    """Print a table of the backends for a shape. `map_bytes` is the size of x in bytes."""
    moved, naive = found[title, BANDWIDTH]["rate"], found[title, NAIVE]
    limits = {"forward": FORWARD_MAPS * map_bytes / moved, "both": ALL_MAPS * map_bytes / moved}

    def times(key: str) -> list[Callable[[Case], str]]:
        return [
            lambda case: f"{found[case][key]:.2f}",
            lambda case: f"{found[case][key] / limits[key]:.1f}",
            lambda case: f"{naive[key] / found[case][key]:.1f}",
        ]

    figures = {
        **dict(zip(("forward ms", "x limit", "naive / this"), times("forward"), strict=True)),
        **dict(zip(("f + b ms", "f + b x limit", "f + b naive / this"), times("both"), strict=True)),
        "MB moved": lambda _: f"{ALL_MAPS * map_bytes / 1e6:.0f}",
        "error": lambda case: f"{found[case]['error']:.0e}",
        "peak maps": lambda case: f"{found[case]['peak'] / map_bytes:.0f}",
    }
    rows = {case: row for case, row in found.items() if case[0] == title and case[1] != BANDWIDTH}
    ends = f"{moved / 1e6:.0f} GB/s: limits {limits['forward']:.2f} ms (forward), {limits['both']:.2f} ms (f + b)"
    show(rows, {"backend": lambda case: case[1]}, figures, f"{place}; {ends}")


if __name__ == "__main__":
    as_program(main)
