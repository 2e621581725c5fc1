"""Time the spatial RNN's backends side by side, against the naive loop and the machine's memory bandwidth.

python benchmarks/spatial_rnn.py [--repeats N] [--threads N]

Each round times every backend once, so that a machine whose speed drifts is fair to all; medians are printed. The limit
is the bytes that must move (36 per element of x forward, 108 forward and backward) at the rate of `a + b -> c`.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from deblurzoo.ops.spatial_rnn import reference, spatial_rnn

SHAPES = {
    "SVRNN at 720p": (1, 32, 360, 640),
    "SVRNN in training": (20, 32, 64, 64),
    "FlowRNN 1/2 at 720p": (1, 24, 352, 640),
    "FlowRNN 1/4 at 720p": (1, 48, 176, 320),
    "FlowRNN 1/8 at 720p": (1, 96, 88, 160),
}
NAIVE = "naive loop (autograd)"


def inputs(shape: tuple[int, int, int, int], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, w and the gradient of the result."""
    generator = torch.Generator().manual_seed(0)
    b, c, h, w = shape
    x = torch.randn(shape, generator=generator)
    weights = torch.tanh(torch.randn(b, 4 * c, h, w, generator=generator))
    g = torch.randn(weights.shape, generator=generator)
    return x.to(dtype).requires_grad_(), weights.to(dtype).requires_grad_(), g.to(dtype)


def operator(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a backend, or the naive loop."""
    return reference.forward if name == NAIVE else lambda x, w: spatial_rnn(x, w, name)


def timed(name: str, x: Tensor, w: Tensor, g: Tensor) -> tuple[float, float]:
    """Return the milliseconds of one forward pass without gradients, and of one forward and backward pass."""
    start = time.perf_counter()
    with torch.no_grad():
        operator(name)(x, w)
    middle = time.perf_counter()
    torch.autograd.grad(operator(name)(x, w), (x, w), g)
    return 1e3 * (middle - start), 1e3 * (time.perf_counter() - middle)


def error(name: str, shape: tuple[int, int, int, int]) -> float:
    """Return the largest absolute error of result and gradients in float32, against float64."""
    x, w, g = inputs(shape)
    exact = [t.detach().double().requires_grad_() for t in (x, w)]
    h, h64 = operator(name)(x, w), spatial_rnn(*exact, "rows")
    pairs = zip(
        (h, *torch.autograd.grad(h, (x, w), g)), (h64, *torch.autograd.grad(h64, exact, g.double())), strict=True
    )
    return max((a - b).abs().max().item() for a, b in pairs)


def bytes_per_millisecond(elements: int) -> float:
    """Return the rate at which `a + b -> c` moves memory, in arrays as large as the operator's."""
    a, b, c = (torch.ones(3 * elements) for _ in range(3))
    times = []
    for _ in range(9):
        start = time.perf_counter()
        torch.add(a, b, out=c)
        times.append(1e3 * (time.perf_counter() - start))
    return 36 * elements / statistics.median(times)


def peak_maps(name: str, shape: tuple[int, int, int, int]) -> float:
    """Return how much a forward and backward pass adds to the peak memory of a new process, in maps like x."""
    code = f"import benchmarks.spatial_rnn as b; print(b._peak_bytes({name!r}, {shape}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout) / (4 * torch.Size(shape).numel())


def _peak_bytes(name: str, shape: tuple[int, int, int, int]) -> int:
    timed(name, *inputs((1, 2, 4, 4)))  # compiles and imports
    x, w, g = inputs(shape)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = _peak_kilobytes()
    timed(name, x, w, g)
    return 1024 * (_peak_kilobytes() - before)


def _peak_kilobytes() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = ["numba", "rows", NAIVE]
    for title, shape in SHAPES.items():
        elements = torch.Size(shape).numel()
        x, w, g = inputs(shape)
        for name in names:
            timed(name, x, w, g)
        rounds = {name: [] for name in names}
        for _ in range(options.repeats):
            for name in names:
                rounds[name].append(timed(name, x, w, g))
        limit = 36 * elements / bytes_per_millisecond(elements)
        table = Table(
            title=f"{title} {shape}, float32, {options.threads} threads; limit {limit:.1f} / {3 * limit:.1f} ms"
        )
        for heading in (
            "backend",
            "forward ms",
            "x limit",
            "f + b ms",
            "x limit",
            "naive / this",
            "GB/s",
            "error",
            "maps",
        ):
            table.add_column(heading, justify="left" if heading == "backend" else "right")
        medians = {
            name: tuple(statistics.median(column) for column in zip(*rounds[name], strict=True)) for name in names
        }
        for name, (forward, both) in medians.items():
            table.add_row(
                name,
                f"{forward:.1f}",
                f"{forward / limit:.1f}",
                f"{both:.1f}",
                f"{both / (3 * limit):.1f}",
                f"{medians[NAIVE][1] / both:.1f}",
                f"{108 * elements / both / 1e6:.1f}",
                f"{error(name, shape):.0e}",
                f"{peak_maps(name, shape):.0f}",
            )
        Console(width=120).print(table)


if __name__ == "__main__":
    main()
