"""Time the training of the three networks with their papers' recipes, in the cases `before`, `default` and `fast`.

python benchmarks/train.py [ROOT] [--networks svrnn srn flow_rnn] [--batch 2] [--steps 8] [--repeats 3] [--device cpu]

ROOT has GOPRO's layout; without ROOT, toy clips of 1280x720 pixels are created. Each case runs `deblurzoo train` in a
separate process. `before` computes in float32 and returns freed memory to the system. `default` is the default
configuration. `fast` (`preset=fast`) also compiles the network. SRN uses channels_last in all cases. `waits` is the
fraction of time that steps wait for their samples. `limit` is the FLOP/s of the forward and backward pass as a fraction
of the FLOP/s of a large matrix product in the same precision.
"""

import math
import statistics
import sys
import tempfile
import time
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from pytorch_lightning.profilers import SimpleProfiler
from torch.utils.flop_counter import FlopCounterMode

from deblurzoo import cli
from deblurzoo.benchmark.harness import Figures, in_new_process, measured, parser, resident_peak, show
from deblurzoo.commands.hydra_app import as_dicts
from deblurzoo.commands.train import make_module
from deblurzoo.errors import as_program
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
"""Number of first steps that are not counted: they allocate memory, compile and select algorithms."""
STEP, WAIT = "run_training_batch", "[_TrainingEpochLoop].train_dataloader_next"
Case = tuple[str, str]
"""Name of the network, and a key of `CASES`."""


class Clock(SimpleProfiler):
    """A profiler for Lightning that keeps its values after training."""

    last: "Clock"

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[float] = []
        Clock.last = self

    def start(self, action_name: str) -> None:
        """Record the start time of each step."""
        if action_name == STEP:
            self.starts.append(time.perf_counter())
        super().start(action_name)

    def figures(self) -> Figures:
        """Return the seconds per step, the fraction of time that steps wait for samples, and the peak in bytes."""
        periods = [after - before for before, after in zip(self.starts, self.starts[1:], strict=False)][WARM_UP:]
        waits = self.recorded_durations[WAIT][WARM_UP + 1 : WARM_UP + 1 + len(periods)]
        on_gpu = torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0
        peak = torch.cuda.max_memory_allocated() if on_gpu else resident_peak()
        return {"seconds": statistics.median(periods), "waits": sum(waits) / sum(periods), "peak": peak}


def train(overrides: list[str]) -> Figures:
    """Run `deblurzoo train` with `Clock` as its profiler, and return the measured values."""
    sys.argv = ["deblurzoo", "train", *overrides]
    cli.main()
    return Clock.last.figures()


def measure(case: Case, device: str, steps: int, data: list[str]) -> Figures:
    """Return the values measured over a few training steps in a new process."""
    network, how = case
    with tempfile.TemporaryDirectory() as runs:
        overrides = [
            *(f"experiment={EXPERIMENTS[network]}", *data, f"trainer={device}", *CASES[how]),
            *(f"trainer.max_steps={WARM_UP + steps + 1}", "trainer.val_check_interval=1000000"),
            *("logger=csv", f"paths.runs={runs}", "+trainer.profiler._target_=train.Clock"),
        ]
        if network == "svrnn":
            overrides.append("model.vgg16=null")
        return in_new_process(train, overrides, keep=how != "before")


@cache
def work_per_sample(network: str) -> tuple[int, int]:
    """Return the FLOPs of the forward and backward pass for one sample, and the recipe's batch size."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg: Any = compose("train", [f"experiment={EXPERIMENTS[network]}", "trainer=cpu"])
    net = make_module(as_dicts(cfg.model)).net.to("meta")
    crop = cfg.datamodule.augmentation.crop
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, net.frames, 3, crop, crop, device="meta")).image.sum().backward()
    return counter.get_total_flops(), cfg.datamodule.batch_size


def matrix_rate(device: str, low: bool) -> float:
    """Return the FLOP/s of a large matrix product in float32 or bfloat16.

    The product is computed as a 1x1 convolution, which on a CPU uses the same library as the networks' convolutions.
    torch's matrix product may use a library that is several times slower.
    """
    channels, side = (4096, 128) if device == "gpu" else (2048, 32)
    place = torch.device("cuda" if device == "gpu" else "cpu")
    dtype = torch.bfloat16 if low else torch.float32
    x = torch.rand(1, channels, side, side, device=place, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.rand(channels, channels, 1, 1, device=place, dtype=dtype)
    best = math.inf
    with torch.inference_mode():
        for _ in range(20):
            start = time.perf_counter()
            F.conv2d(x, weight)[0, 0, 0, 0].item()
            best = min(best, time.perf_counter() - start)
    return 2 * channels**2 * side**2 / best


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, repeats=3)
    options.add_argument("root", type=Path, nargs="?")
    options.add_argument("--networks", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    options.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    options.add_argument("--batch", type=int, help="samples per step (default: 16 or 20, as in the paper)")
    options.add_argument("--steps", type=int, default=8)
    given = options.parse_args()
    rates = dict.fromkeys(CASES, 0.0)
    with tempfile.TemporaryDirectory() as temporary:
        root = given.root or Path(temporary) / "toy"
        if not given.root:
            write_toy(root, ToyOptions(train_clips=2, test_clips=1, frames=7, height=720, width=1280))
        data = ["data=gopro" if given.root else "data=toy", f"data.root={root.resolve()}", "data.blur=blur"]
        data += [f"datamodule.batch_size={given.batch}"] if given.batch else []

        def run(case: Case) -> Figures:
            _, how = case
            low = how != "before" and training_precision(given.device) == LOW
            rates[how] = max(rates[how], matrix_rate(given.device, low))
            return measure(case, given.device, given.steps, data)

        found = measured(list(product(given.networks, given.cases)), run, given)

    def batch(case: Case) -> int:
        return given.batch or work_per_sample(case[0])[1]

    def speed(case: Case) -> float:
        return work_per_sample(case[0])[0] * batch(case) / found[case]["seconds"]

    first = given.cases[0]
    figures = {
        "batch": batch,
        "samples/s": lambda case: f"{batch(case) / found[case]['seconds']:.2f}",
        f"x {first}": lambda case: f"{found[case[0], first]['seconds'] / found[case]['seconds']:.2f}",
        "waits": lambda case: f"{found[case]['waits']:.1%}",
        "peak GB": lambda case: f"{found[case]['peak'] / 1e9:.2f}",
        "TFLOP/s": lambda case: f"{speed(case) / 1e12:.3f}",
        "limit": lambda case: f"{speed(case) / rates[case[1]]:.0%}",
    }
    show(found, {"network": lambda case: case[0], "case": lambda case: case[1]}, figures)


if __name__ == "__main__":
    as_program(main)
