"""Time the spatial RNN's backends side by side, against the naive loop and the device's memory bandwidth.

python benchmarks/spatial_rnn.py [--device cuda] [--dtype bfloat16] [--repeats N] [--threads N]

Each round times the bandwidth and every backend once, so that a machine whose speed drifts is fair to all; medians are
printed. The limit is the bytes that must move (9 maps like x forward: x, w, h; 27 forward and backward) at the rate of
`a + b -> c` on arrays of 128 MiB.
"""

from deblurzoo.allocator import keep_memory

keep_memory()  # as the command line does; before torch is imported

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
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
GPU_SHAPES = {"eight 720p frames": (8, 32, 360, 640), **SHAPES}
NAIVE = "naive loop (autograd)"
BACKENDS = {"cpu": ["numba", "rows", NAIVE], "cuda": ["triton", "rows", NAIVE]}
FORWARD_MAPS, ALL_MAPS = 9, 27
Shape = tuple[int, int, int, int]
Task = Callable[[], object]


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
    """Return a backend, or the naive loop."""
    return reference.forward if name == NAIVE else lambda x, w: spatial_rnn(x, w, name)


def forward(name: str, x: Tensor, w: Tensor) -> None:
    """Run a backend without gradients."""
    with torch.no_grad():
        operator(name)(x, w)


def both(name: str, x: Tensor, w: Tensor, g: Tensor) -> None:
    """Run a backend forward and backward."""
    torch.autograd.grad(operator(name)(x, w), (x, w), g)


def milliseconds(task: Task, device: str) -> float:
    """Return how long a task takes, on a device that is idle before and after."""
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


def error(name: str, shape: Shape, device: str, dtype: torch.dtype) -> float:
    """Return the largest absolute error of result and gradients, against float64 of the same inputs."""
    x, w, g = inputs(shape, device, dtype)
    exact = [t.detach().double().requires_grad_() for t in (x, w)]
    h, h64 = operator(name)(x, w), spatial_rnn(*exact, "rows")
    pairs = zip(
        (h, *torch.autograd.grad(h, (x, w), g)), (h64, *torch.autograd.grad(h64, exact, g.double())), strict=True
    )
    return max((a - b).abs().max().item() for a, b in pairs)


def peak_bytes(name: str, shape: Shape, device: str, dtype: torch.dtype) -> int:
    """Return how much a forward and backward pass adds to the peak memory; on a CPU in a new process."""
    if device == "cpu":
        code = "import torch, benchmarks.spatial_rnn as b"  # torch first: what is freed goes back to the system
        code += f"; print(b.peak_bytes_here({name!r}, {shape}, {dtype}))"
        here = Path(__file__).parents[1]
        done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
        return int(done.stdout)
    x, w, g = inputs(shape, device, dtype)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    both(name, x, w, g)
    return torch.cuda.max_memory_allocated() - before


def peak_bytes_here(name: str, shape: Shape, dtype: torch.dtype) -> int:
    """Return the same for this process, by Linux's count of resident memory."""
    both(name, *inputs((1, 2, 4, 4), "cpu", dtype))  # compiles and imports
    x, w, g = inputs(shape, "cpu", dtype)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _peak_kilobytes()
    both(name, x, w, g)
    return 1024 * (_peak_kilobytes() - before)


def _peak_kilobytes() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def medians(names: list[str], shape: Shape, device: str, dtype: torch.dtype, repeats: int) -> dict[str, float]:
    """Return median milliseconds of every backend's `NAME` and `NAME f+b`, and of `bandwidth`."""
    x, w, g = inputs(shape, device, dtype)
    a, b, c = (torch.ones(2**25, device=device) for _ in range(3))
    tasks: dict[str, Task] = {"bandwidth": lambda: torch.add(a, b, out=c)}
    for name in names:
        tasks[name] = lambda name=name: forward(name, x, w)  # type: ignore[misc]
        tasks[f"{name} f+b"] = lambda name=name: both(name, x, w, g)  # type: ignore[misc]
    rounds: dict[str, list[float]] = {task: [] for task in tasks}
    for _ in track(range(repeats + 1), description=f"{shape}", transient=True):
        for task, run in tasks.items():
            rounds[task].append(milliseconds(run, device))
    return {task: statistics.median(times[1:]) for task, times in rounds.items()}  # the first one compiles


def table(title: str, shape: Shape, device: str, dtype: torch.dtype, repeats: int) -> Table:
    """Measure one shape."""
    names = BACKENDS[device]
    times = medians(names, shape, device, dtype, repeats)
    map_bytes = dtype.itemsize * torch.Size(shape).numel()
    rate = 3 * 4 * 2**25 / times["bandwidth"]  # bytes per millisecond
    limit, limit_both = FORWARD_MAPS * map_bytes / rate, ALL_MAPS * map_bytes / rate
    result = Table(
        title=f"{title} {shape} {dtype} on {device}; {rate / 1e6:.0f} GB/s: limits {limit:.2f} and {limit_both:.2f} ms",
        title_justify="left",
    )
    headings = ("backend", "forward ms", "x limit", "naive / this", "f + b ms", "x limit", "naive / this")
    for heading in (*headings, "MB moved", "error", "peak maps"):
        result.add_column(heading, justify="left" if heading == "backend" else "right")
    for name in names:
        one, two = times[name], times[f"{name} f+b"]
        result.add_row(
            name,
            f"{one:.2f}",
            f"{one / limit:.1f}",
            f"{times[NAIVE] / one:.1f}",
            f"{two:.2f}",
            f"{two / limit_both:.1f}",
            f"{times[f'{NAIVE} f+b'] / two:.1f}",
            f"{ALL_MAPS * map_bytes / 1e6:.0f}",
            f"{error(name, shape, device, dtype):.0e}",
            f"{peak_bytes(name, shape, device, dtype) / map_bytes:.0f}",
        )
    return result


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=BACKENDS, default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16", "float64"), default="float32")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(torch.cuda.get_device_name() if options.device == "cuda" else f"{options.threads} CPU threads")
    for title, shape in (GPU_SHAPES if options.device == "cuda" else SHAPES).items():
        arguments = shape, options.device, getattr(torch, options.dtype), options.repeats
        Console(width=130).print(table(title, *arguments))


if __name__ == "__main__":
    main()
