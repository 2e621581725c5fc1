"""`deblurzoo benchmark`: speed, memory and size of the networks on this machine."""

import argparse
from itertools import product
from pathlib import Path

from deblurzoo.benchmark import HOWS, NAMES, PAPERS_SIZE, PRECISIONS
from deblurzoo.commands.options import at_least
from deblurzoo.errors import DeblurzooError
from deblurzoo.files import user_path

LEAST = 16
"""Of height and width: that of ONNX files."""


def main(arguments: list[str]) -> None:
    """Run `deblurzoo benchmark`."""
    parser = argparse.ArgumentParser(
        "deblurzoo benchmark", description="Measure the networks on this machine: time, memory, size, multiply-adds."
    )
    add = parser.add_argument
    add("--networks", nargs="+", choices=NAMES, default=list(NAMES))
    add("--width", type=float, default=1.0, help="multiplies the channel numbers")
    add("--size", type=_size, default=PAPERS_SIZE, metavar="HxW", help="size of the table (720x1280)")
    add("--sizes", type=_size, nargs="*", default=[(180, 320), (360, 640)], metavar="HxW", help="further sizes")
    add("--device", nargs="+", choices=("cpu", "cuda"), help="all that there are, unless said")
    add("--how", nargs="+", choices=HOWS, default=list(HOWS))
    add("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    add("--repeats", type=at_least(1), default=3, help="rounds, whose median is printed")
    out = Path("runs/benchmark")
    add("--out", type=user_path, default=out, metavar="DIR", help="for benchmark.json and benchmark.html")
    run(parser.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Measure all cases, and print and draw the figures."""
    # torch takes seconds to import, and the help needs none of it.
    import torch

    from deblurzoo.benchmark.case import Case, benchmark
    from deblurzoo.benchmark.report import print_report

    if not 0 < options.width < float("inf"):
        raise DeblurzooError(f"--width={options.width} must be above 0")
    there = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    if missing := set(options.device or ()) - set(there):
        raise DeblurzooError(f"--device {missing.pop()} is not there: torch sees no GPU; leave it out")
    sizes = sorted({*options.sizes, options.size}, key=lambda size: size[0] * size[1])
    cases = [
        Case(network, options.width, how, precision, device, size)
        for device, size, network in product(options.device or there, sizes, options.networks)
        for how, precision in product(options.how, options.precision)
    ]
    print_report(benchmark(cases, options.size, options.repeats, options.out))
    print(f"figures: {options.out / 'benchmark.json'}\nplot:    {options.out / 'benchmark.html'}")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= LEAST):
        raise argparse.ArgumentTypeError(f"{text!r} is no HEIGHTxWIDTH from {LEAST}x{LEAST} up")
    return int(height), int(width)
