"""`deblurzoo benchmark`: measure the speed, memory use and size of the networks on this machine."""

import argparse
from itertools import product
from pathlib import Path

from deblurzoo.benchmark import HOWS, NAMES, PAPERS_SIZE, PRECISIONS
from deblurzoo.commands.options import add_out, at_least
from deblurzoo.errors import DeblurzooError

LEAST = 16
"""Minimum height and width in pixels; exported ONNX files have the same minimum."""


def main(arguments: list[str]) -> None:
    """Run `deblurzoo benchmark`."""
    parser = argparse.ArgumentParser(
        "deblurzoo benchmark",
        description="Measure the time, memory, size and multiply-adds of the networks on this machine. By default, all "
        "networks, implementations and precisions are measured.",
    )
    add = parser.add_argument
    add("--networks", nargs="+", choices=NAMES, default=list(NAMES), help="networks (default: all)")
    add("--width", type=float, default=1.0, help="channel multiplier (default: 1.0)")
    add(
        "--size",
        type=_size,
        default=PAPERS_SIZE,
        metavar="HxW",
        help="input size of the printed table (default: 720x1280)",
    )
    add(
        "--sizes",
        type=_size,
        nargs="*",
        default=[(180, 320), (360, 640)],
        metavar="HxW",
        help="additional input sizes (default: 180x320 360x640)",
    )
    add("--device", nargs="+", choices=("cpu", "cuda"), help="devices (default: all available)")
    add("--how", nargs="+", choices=HOWS, default=list(HOWS), help="implementations (default: all)")
    add("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="default: all")
    add("--repeats", type=at_least(1), default=3, help="number of timed rounds; their median is printed (default: 3)")
    out = Path("runs/benchmark")
    add_out(parser, f"folder for benchmark.json and benchmark.html (default: {out})", default=out)
    run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Measure all cases, print the results and draw the plot."""
    # Deferred: torch takes seconds to import, and --help does not need it.
    import torch

    from deblurzoo.benchmark.case import Case, benchmark
    from deblurzoo.benchmark.report import print_report

    if not 0 < options.width < float("inf"):
        raise DeblurzooError(f"--width={options.width} must be above 0")
    there = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    if missing := set(options.device or ()) - set(there):
        raise DeblurzooError(f"--device {missing.pop()} is not available, because torch finds no GPU: omit this device")
    sizes = sorted({*options.sizes, options.size}, key=lambda size: size[0] * size[1])
    cases = [
        Case(network, options.width, how, precision, device, size)
        for device, size, network in product(options.device or there, sizes, options.networks)
        for how, precision in product(options.how, options.precision)
    ]
    print_report(benchmark(cases, options.size, options.repeats, options.out))
    print(f"results: {options.out / 'benchmark.json'}\nplot:    {options.out / 'benchmark.html'}")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= LEAST):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size HEIGHTxWIDTH of at least {LEAST}x{LEAST} pixels")
    return int(height), int(width)
