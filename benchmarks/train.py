"""Time the training of the three networks by their papers' recipes: before, by default and with `preset=fast`.

python benchmarks/train.py [ROOT] [--networks svrnn srn flow_rnn] [--batch 2] [--steps 8] [--repeats 3] [--device cpu]

ROOT has GOPRO's layout; without one, toy clips of 1280x720 are made. Each case is `deblurzoo train` in a process of its
own, round after round, and medians are printed. `before` computes in float32 and gives freed memory back to the system;
`default` is what users get; `fast` is compiled as well. SRN has its channels last in all of them. `waits` is the share
of time in which the step waits for its samples; `limit` is the share of what a large matrix product of the same
precision computes per second, of which the multiply-adds of forward and backward pass are counted.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from deblurzoo.allocator import SWITCH, keep_memory

keep_memory()  # as the command line does, before torch is imported

import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from pytorch_lightning.profilers import SimpleProfiler
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from deblurzoo import cli
from deblurzoo.config import build
from deblurzoo.files import conf_dir
from deblurzoo.synthesis.options import ToyOptions
from deblurzoo.synthesis.toy import write_toy
from deblurzoo.training.precision import LOW, training_precision

EXPERIMENTS = {"svrnn": "svrnn_gopro", "srn": "srn_gopro", "flow_rnn": "flow_dvd"}
CASES: dict[str, list[str]] = {
    "before": ["trainer.precision=32-true"],
    "default": [],
    "fast": ["preset=fast"],
}
WARM_UP = 3
"""Steps that are not counted: the first ones allocate, compile and choose algorithms."""
STEP, WAIT = "run_training_batch", "[_TrainingEpochLoop].train_dataloader_next"


class Clock(SimpleProfiler):
    """Lightning's profiler, asked for a line of JSON when training ends."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[float] = []

    def start(self, action_name: str) -> None:
        """Remember when each step began."""
        if action_name == STEP:
            self.starts.append(time.perf_counter())
        super().start(action_name)

    def describe(self) -> None:
        """Print seconds a step, the share of it that waits for samples, and the peak of memory in bytes."""
        periods = [after - before for before, after in zip(self.starts, self.starts[1:], strict=False)][WARM_UP:]
        waits = self.recorded_durations[WAIT][WARM_UP + 1 : WARM_UP + 1 + len(periods)]
        on_gpu = torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0
        resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = torch.cuda.max_memory_allocated() if on_gpu else resident
        result = {"seconds": statistics.median(periods), "waits": sum(waits) / sum(periods), "peak": peak}
        print(json.dumps(result), flush=True)


def train(overrides: list[str]) -> None:
    """Run `deblurzoo train` with the clock in it."""
    sys.argv = ["deblurzoo", "train", *overrides]
    cli.main()


def measure(network: str, case: str, device: str, data: list[str], options: argparse.Namespace) -> dict[str, float]:
    """Return what a new process says of a few steps."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "THP_MEM_ALLOC_ENABLE"):
        environment.pop(name, None)
    if case == "before":
        environment[SWITCH] = "0"
    with tempfile.TemporaryDirectory() as runs:
        overrides = [
            *(f"experiment={EXPERIMENTS[network]}", *data, f"trainer={device}", *CASES[case]),
            *(f"trainer.max_steps={WARM_UP + options.steps + 1}", "trainer.val_check_interval=1000000"),
            *("logger=csv", f"paths.runs={runs}", "+trainer.profiler._target_=train.Clock"),
        ]
        if options.batch:
            overrides.append(f"datamodule.batch_size={options.batch}")
        if network == "svrnn":
            overrides.append("model.vgg16=null")
        command = [sys.executable, "-c", f"import train; train.train({overrides!r})"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{network}, {case}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
    result: dict[str, float] = json.loads(lines[-1])
    return result


def flops_per_sample(network: str) -> tuple[int, int]:
    """Return the floating-point operations of a sample's forward and backward pass, and the recipe's batch size."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg: Any = compose("train", [f"experiment={EXPERIMENTS[network]}", "trainer=cpu"])
    net = build(cfg.model).net.to("meta")
    crop = cfg.datamodule.augmentation.crop
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, net.frames, 3, crop, crop, device="meta")).image.sum().backward()
    return counter.get_total_flops(), cfg.datamodule.batch_size


def low_precision(case: str, device: str) -> bool:
    """Whether a case computes in bfloat16."""
    return case != "before" and training_precision(device) == LOW


def matrix_rate(device: str, low: bool) -> float:
    """Return the floating-point operations per second of a large matrix product in float32 or bfloat16.

    As a 1x1 convolution, which on a CPU runs on the library of the other convolutions: torch's product may run on one
    that is several times slower.
    """
    channels, side = (4096, 128) if device == "gpu" else (2048, 32)
    placed = {
        "device": "cuda" if device == "gpu" else "cpu",
        "dtype": torch.bfloat16 if low else torch.float32,
    }
    x = torch.rand(1, channels, side, side, **placed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weight = torch.rand(channels, channels, 1, 1, **placed)  # type: ignore[call-overload]
    best = math.inf
    with torch.inference_mode():
        for _ in range(20):
            start = time.perf_counter()
            F.conv2d(x, weight)[0, 0, 0, 0].item()
            best = min(best, time.perf_counter() - start)
    return 2 * channels**2 * side**2 / best


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?")
    parser.add_argument("--networks", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--batch", type=int, help="samples a step instead of the paper's 16 or 20")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.root or Path(temporary) / "toy"
        if not options.root:
            write_toy(root, ToyOptions(train_clips=2, test_clips=1, frames=7, height=720, width=1280))
        data = ["data=gopro" if options.root else "data=toy", f"data.root={root.resolve()}", "data.blur=blur"]
        rounds = [(n, c) for _ in range(options.repeats) for n in options.networks for c in options.cases]
        results: dict[tuple[str, str], list[dict[str, float]]] = {}
        rates = dict.fromkeys(CASES, 0.0)
        for network, case in track(rounds, description="rounds", transient=True):
            results.setdefault((network, case), []).append(measure(network, case, options.device, data, options))
            rates[case] = max(rates[case], matrix_rate(options.device, low_precision(case, options.device)))
    print_table(results, rates, options)


def print_table(
    results: dict[tuple[str, str], list[dict[str, float]]], rates: dict[str, float], options: argparse.Namespace
) -> None:
    """Print medians over the rounds, beside the first case's and the best matrix product's of all rounds."""
    columns = ("samples/s", f"x {options.cases[0]}", "waits", "peak GB", "TFLOP/s", "limit")
    table = Table("network", "case", "batch", *columns)
    for (network, case), found in results.items():
        seconds, waits, peak = (statistics.median(r[key] for r in found) for key in ("seconds", "waits", "peak"))
        first = statistics.median(r["seconds"] for r in results[network, options.cases[0]])
        flops, papers_batch = flops_per_sample(network)
        batch = options.batch or papers_batch
        speed = flops * batch / seconds
        row = [f"{batch / seconds:.2f}", f"{first / seconds:.2f}", f"{waits:.1%}", f"{peak / 1e9:.2f}"]
        row += [f"{speed / 1e12:.3f}", f"{speed / rates[case]:.0%}"]
        table.add_row(network, case, str(batch), *row, end_section=case == options.cases[-1])
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
