"""`deblurzoo benchmark`: speed, memory and size of the networks on this machine."""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deblurzoo.benchmark.case import Case, Result, in_new_process
from deblurzoo.benchmark.networks import NETWORKS, PAPERS_SIZE, describe
from deblurzoo.benchmark.report import as_page, median, print_report
from deblurzoo.commands.options import at_least
from deblurzoo.errors import DeblurzooError
from deblurzoo.export.onnx import LEAST
from deblurzoo.files import user_path, write_atomically
from deblurzoo.version import __version__

HOWS, PRECISIONS = ("naive", "eager", "compiled", "onnxruntime"), ("fp32", "bf16")
NEVER = {
    ("naive", "bf16"): "what the factors refer to is the straightforward network, in fp32",
    ("onnxruntime", "bf16"): "the ONNX file is float32: autocast is torch's",
}
"""What is not measured and why; bf16 alone, without autocast, is not offered: near 1, RNN weights would be rounded."""
START = 400_000
"""What starting a process costs in the estimate of the remaining time, in pixels."""


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all cases round after round, each in a process of its own, and write JSON and plot after each round."""
    sizes = sorted({*options.sizes, options.size}, key=lambda size: size[0] * size[1])
    cases = [
        Case(network, options.width, how, precision, device, size)
        for device, size, network in product(options.device, sizes, options.networks)
        for how, precision in product(options.how, options.precision)
    ]
    report: dict[str, Any] = {
        "machine": machine(),
        "deblurzoo": __version__,
        "width": options.width,
        "size": list(options.size),
        "networks": {name: describe(name, options.width, sizes) for name in options.networks},
    }
    results: dict[Case, list[Result]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder, _Progress(cases, options.repeats) as progress:
        for _ in range(options.repeats):
            for case in cases:
                progress.show(case)
                results[case].append(_result(case, Path(folder) / f"{case.network}.onnx", results[case]))
            report["cases"] = [_summary(case, rounds) for case, rounds in results.items()]
            write_atomically(options.out / "benchmark.json", json.dumps(report, indent=1).encode())
            write_atomically(options.out / "benchmark.html", as_page(report).encode())
    return report


def _result(case: Case, onnx_file: Path, earlier: list[Result]) -> Result:
    """Return the result of a round; what cannot run is not tried twice."""
    if (case.how, case.precision) in NEVER:
        return {"reason": NEVER[case.how, case.precision]}
    if earlier and "reason" in earlier[-1]:
        return earlier[-1]
    if case.how == "onnxruntime" and not onnx_file.exists():
        written = in_new_process(Case(case.network, case.width, "onnx", "fp32", "cpu", case.size), onnx_file)
        if "reason" in written:
            return written
    return in_new_process(case, onnx_file)


def _summary(case: Case, rounds: list[Result]) -> dict[str, Any]:
    facts = {key: getattr(case, key) for key in ("network", "how", "precision", "device")}
    reason = next((result["reason"] for result in rounds if "reason" in result), None)
    if reason is not None:
        return {**facts, "size": list(case.size), "reason": reason}
    return {
        **facts,
        "size": list(case.size),
        "seconds": statistics.median(result["seconds"] for result in rounds),
        "cpu_seconds": statistics.median(result["cpu_seconds"] for result in rounds),
        "first_seconds": statistics.median(result["first"] for result in rounds),
        "peak_bytes": median([result["peak"] for result in rounds]),
        "rounds": [result["seconds"] for result in rounds],
    }


def machine() -> dict[str, Any]:
    """Say what measures, and how busy it is with something else."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "load_average": round(os.getloadavg()[0], 1),
    }


class _Progress:
    """A bar with the remaining time on a terminal, a line for each case elsewhere."""

    def __init__(self, cases: list[Case], repeats: int) -> None:
        self.console = Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("ETA")
        self.bar = Progress(
            *columns, TimeRemainingColumn(), console=self.console, transient=True, speed_estimate_period=3600
        )
        self.total = repeats * sum(map(_cost, cases))
        self.task = self.bar.add_task("", total=self.total)
        self.done, self.current, self.start = 0, 0, time.monotonic()

    def __enter__(self) -> "_Progress":
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, case: Case) -> None:
        """Say what runs next."""
        self.done, self.current = self.done + self.current, _cost(case)
        self.bar.update(self.task, completed=self.done, description=case.name)
        if not self.console.is_terminal:
            spent = time.monotonic() - self.start
            left = f", about {spent * (self.total - self.done) / self.done / 60:.0f} min left" if self.done else ""
            self.console.print(f"{self.done / self.total:4.0%} {case.name}{left}", highlight=False, soft_wrap=True)


def _cost(case: Case) -> int:
    """Return roughly how long a case takes beside others."""
    return 0 if (case.how, case.precision) in NEVER else START + case.size[0] * case.size[1]


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= LEAST):
        raise argparse.ArgumentTypeError(f"{text!r} is no HEIGHTxWIDTH from {LEAST}x{LEAST} up")
    return int(height), int(width)


def main(arguments: list[str]) -> None:
    """Run `deblurzoo benchmark`."""
    parser = argparse.ArgumentParser(
        "deblurzoo benchmark", description="Measure the networks on this machine: time, memory, size, multiply-adds."
    )
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    add = parser.add_argument
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    add("--width", type=float, default=1.0, help="multiplies the channel numbers")
    add("--size", type=_size, default=PAPERS_SIZE, metavar="HxW", help="size of the table (720x1280)")
    add("--sizes", type=_size, nargs="*", default=[(180, 320), (360, 640)], metavar="HxW", help="further sizes")
    add("--device", nargs="+", choices=("cpu", "cuda"), default=devices)
    add("--how", nargs="+", choices=HOWS, default=list(HOWS))
    add("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    add("--repeats", type=at_least(1), default=3, help="rounds, whose median is printed")
    add(
        "--out",
        type=user_path,
        default=Path("runs/benchmark"),
        metavar="DIR",
        help="for benchmark.json and benchmark.html",
    )
    options = parser.parse_args(arguments)
    if not 0 < options.width < float("inf"):
        raise DeblurzooError(f"--width={options.width} must be above 0")
    if missing := set(options.device) - set(devices):
        raise DeblurzooError(f"--device {missing.pop()} is not there: torch sees no GPU; leave it out")
    print_report(benchmark(options))
    print(f"figures: {options.out / 'benchmark.json'}\nplot:    {options.out / 'benchmark.html'}")
