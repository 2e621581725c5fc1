"""Cases of `deblurzoo benchmark`: a network in an execution mode, measured in a separate process."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deblurzoo.benchmark.harness import Figures, in_new_process, in_rounds, machine, resident_peak
from deblurzoo.benchmark.networks import describe, make, with_naive_recurrence
from deblurzoo.benchmark.report import Report, as_page
from deblurzoo.export.onnx import write_onnx
from deblurzoo.files import write_atomically
from deblurzoo.nets.base import DeblurNet, restore_any_size
from deblurzoo.version import __version__

NEVER = {
    ("naive", "bf16"): "the naive network is only the baseline of the speed-up, in fp32",
    ("onnxruntime", "bf16"): "the ONNX file is float32: autocast exists only in PyTorch",
}
"""Pairs (`how`, precision) that are not measured, with the reason. `bf16` means autocast: in pure bfloat16, RNN
weights near 1 would become 1."""
START = 400_000
"""Estimated cost of starting a process, expressed as a number of pixels; used to estimate the remaining time."""
ENOUGH_SECONDS, ENOUGH_RUNS = 1.0, 10
"""A process stops repeating its run after this total number of seconds, or after this number of runs."""


@dataclass(frozen=True)
class Case:
    """A network in an execution mode.

    Attributes:
        network: a key of `NETWORKS`.
        width: multiplier of the channel numbers.
        how: execution mode, one of `deblurzoo.benchmark.HOWS`.
        precision: `fp32`, or `bf16` (autocast).
        device: `cpu` or `cuda`.
        size: height and width in pixels.
    """

    network: str
    width: float
    how: str
    precision: str
    device: str
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.network} {self.how} {self.precision} on {self.device} at {self.size[0]}x{self.size[1]}"

    @property
    def cost(self) -> int:
        """Estimated relative duration."""
        return 0 if (self.how, self.precision) in NEVER else START + self.size[0] * self.size[1]


def benchmark(cases: Sequence[Case], size: tuple[int, int], repeats: int, out: Path) -> Report:
    """Return the report of all cases. After each round, JSON and plots are written to the folder `out`."""
    sizes = sorted({case.size for case in cases}, key=lambda size: size[0] * size[1])
    width = cases[0].width
    report: Report = {
        "machine": machine(),
        "deblurzoo": __version__,
        "width": width,
        "size": list(size),
        "networks": {name: describe(name, width, sizes) for name in dict.fromkeys(case.network for case in cases)},
    }
    with tempfile.TemporaryDirectory() as folder:

        def run(case: Case) -> Figures:
            return _in_new_process(case, Path(folder) / f"{case.network}.onnx")

        for medians in in_rounds(cases, run, repeats, lambda case: case.name, lambda case: case.cost):
            report["cases"] = [_facts(case) | figures for case, figures in medians.items()]
            write_atomically(out / "benchmark.json", json.dumps(report, indent=1).encode())
            write_atomically(out / "benchmark.html", as_page(report).encode())
    return report


def _facts(case: Case) -> dict[str, Any]:
    facts = {key: getattr(case, key) for key in ("network", "how", "precision", "device")}
    return {**facts, "size": list(case.size)}


def _in_new_process(case: Case, onnx_file: Path) -> Figures:
    """Return the result of `measure` in a new process, or the reason for its failure."""
    if (case.how, case.precision) in NEVER:
        return {"reason": NEVER[case.how, case.precision]}
    if case.how == "onnxruntime" and not onnx_file.exists():
        written = in_new_process(write, case.network, case.width, str(onnx_file))
        if "reason" in written:
            return written
    return in_new_process(measure, asdict(case), str(onnx_file), keep=case.how != "naive")


def write(network: str, width: float, onnx_file: str) -> Figures:
    """Write the ONNX file; called in a separate process, since export takes more memory than running the file."""
    write_onnx(make(network, width), Path(onnx_file))
    return {}


def measure(given: dict[str, Any], onnx_file: str) -> Figures:
    """Return the seconds of the first run, the median seconds and CPU seconds of later runs, and the peak memory.

    `seconds` is wall-clock time. `cpu_seconds` is the sum over all threads of the process, and less affected by other
    processes. `peak_bytes` is the resident memory of the whole process on a CPU, and the maximum memory allocated by
    torch on a GPU.
    """
    case = Case(**given | {"size": tuple(given["size"])})
    net = make(case.network, case.width)
    on_gpu = case.device == "cuda"
    blur = torch.rand(1, net.frames, 3, *case.size, generator=torch.Generator().manual_seed(0))
    run = _on_onnxruntime(onnx_file, on_gpu, blur) if case.how == "onnxruntime" else _on_torch(net, case, blur)

    def seconds() -> tuple[float, float]:
        start, cpu_start = time.perf_counter(), time.process_time()
        run()
        if on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - start, time.process_time() - cpu_start

    with torch.inference_mode():
        first, _ = seconds()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        times = [seconds()]
        while sum(wall for wall, _ in times) < ENOUGH_SECONDS and len(times) < ENOUGH_RUNS:
            times.append(seconds())
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    return {"seconds": wall, "cpu_seconds": cpu, "first_seconds": first, "peak_bytes": _peak(case)}


def _on_torch(net: DeblurNet, case: Case, blur: Tensor) -> Callable[[], object]:
    if case.how == "naive":
        with_naive_recurrence()
    net, blur = net.to(case.device), blur.to(case.device)
    if case.how == "compiled":
        net.compile(dynamic=False)

    def run() -> object:
        with torch.autocast(case.device, torch.bfloat16) if case.precision == "bf16" else nullcontext():
            return restore_any_size(net, blur)

    return run


def _on_onnxruntime(onnx_file: str, on_gpu: bool, blur: Tensor) -> Callable[[], object]:
    """Return a function that runs the file on an image in main memory; on a GPU, a run includes both transfers."""
    import onnxruntime  # requires deblurzoo[onnx]

    provider = "CUDAExecutionProvider" if on_gpu else "CPUExecutionProvider"
    session = onnxruntime.InferenceSession(onnx_file, providers=[provider])
    if provider not in session.get_providers():  # onnxruntime falls back to the CPU
        raise RuntimeError(f"the installed onnxruntime has no {provider}: pip install onnxruntime-gpu")
    inputs = {"blur": blur.numpy()}
    return lambda: session.run(None, inputs)


def _peak(case: Case) -> int | None:
    """Return the peak memory in bytes, or None for onnxruntime on a GPU, where it cannot be measured."""
    if case.device == "cuda":
        return None if case.how == "onnxruntime" else torch.cuda.max_memory_allocated()
    return resident_peak()
