"""Show that the warping losses are sufficient and necessary for FlowRNN to learn optical flow.

python benchmarks/flow.py [--steps N] [--out DIR]

The script creates toy clips with true flow and trains the variants `full` and `no_flow_losses` for the same number of
steps. For each variant, it prints means over the test clips: the end-point error (EPE) of the finest flow, enlarged to
the frame size; the EPE of zero flow; and the absolute difference between a frame and the next frame, with and without
warping.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from deblurzoo.data import Toy
from deblurzoo.errors import as_program
from deblurzoo.files import user_path
from deblurzoo.nets.base import pad_for
from deblurzoo.ops.warp import end_point_error, enlarge, warp
from deblurzoo.training.checkpoints import find_checkpoint, load_any

VARIANTS = ("full", "no_flow_losses")


def deblurzoo(*arguments: str) -> None:
    """Run the `deblurzoo` command line."""
    subprocess.run([sys.executable, "-m", "deblurzoo", *arguments], check=True)


@torch.no_grad()
def measure(checkpoint: Path, toy: Path) -> dict[str, float]:
    """Return mean errors over the test frames that have a next frame."""
    net = load_any(checkpoint).eval()
    rows = []
    for sample in Toy(str(toy), "blur").samples("test", 2):
        frames = torch.stack([torch.from_numpy(frame.read()).permute(2, 0, 1) / 255 for frame in sample.blur])[None]
        truth = torch.from_numpy(np.load(toy / "test" / sample.clip / "flow" / f"{sample.frame}.npy"))[None]
        padded = pad_for(net, frames)
        height, width = padded.shape[-2:]
        flow = enlarge(net(padded).flows[0], (height, width))[..., : truth.shape[-2], : truth.shape[-1]]
        frame, following = frames.unbind(1)
        rows.append(
            {
                "EPE": end_point_error(flow, truth).mean(),
                "EPE of zero flow": end_point_error(torch.zeros_like(truth), truth).mean(),
                "warped difference": (warp(following, flow) - frame).abs().mean(),
                "unwarped difference": (following - frame).abs().mean(),
            }
        )
    return {key: torch.stack([row[key] for row in rows]).mean().item() for key in rows[0]}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--out", type=user_path, default=Path("runs/benchmark_flow"))
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, e.g. model.optimizer.lr=5e-4")
    options = parser.parse_args()
    toy = options.out / "toy"
    if not toy.exists():
        deblurzoo("data", "toy", "--out", str(toy), "--flow")
    table = Table("variant", "EPE", "of zero flow", "warped difference", "unwarped", title=f"{options.steps} steps")
    for variant in VARIANTS:
        arguments = ["experiment=flow_toy", f"model.net.variant={variant}", f"data.root={toy}", "trainer=cpu"]
        steps = [f"trainer.max_steps={options.steps}", "trainer.val_check_interval=500", "resume=auto"]
        deblurzoo("train", *arguments, *steps, f"name={variant}", f"paths.runs={options.out}", *options.overrides)
        checkpoint = find_checkpoint(options.out / variant)
        assert checkpoint is not None
        table.add_row(variant, *(f"{value:.3f}" for value in measure(checkpoint, toy).values()))
    Console().print(table)


if __name__ == "__main__":
    as_program(main)
