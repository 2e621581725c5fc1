"""Evaluations of small folders of pairs, for tests."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from hydra import compose, initialize_config_dir

from deblurzoo.commands.evaluate import evaluate
from deblurzoo.files import conf_dir
from deblurzoo.reports.results import Results, read

FAST = ["trainer=cpu", "datamodule.workers=1"]


def evaluated(done: "subprocess.CompletedProcess[str]", out: Path) -> dict[str, Any]:
    assert done.returncode == 0, done.stdout + done.stderr
    results: dict[str, Any] = json.loads((out / "results.json").read_text())
    return results


def write_folders(root: Path, count: int, size: tuple[int, int] = (48, 64)) -> list[str]:
    """Write noise as sharp and a darker version as blurry images; return the config keys of the two folders."""
    rng = np.random.default_rng(0)
    for kind in ("blurry", "sharp"):
        (root / kind).mkdir(parents=True)
    for number in range(count):
        sharp = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        cv2.imwrite(str(root / "sharp" / f"{number:04d}.png"), sharp)
        cv2.imwrite(str(root / "blurry" / f"{number:04d}.png"), sharp // 2 + 40)
    return ["data=folder", f"data.test.blur={root}/blurry", f"data.test.sharp={root}/sharp"]


def without_times(results: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in results.items() if key not in ("config", "ms_per_image")}
    return {**kept, "images": [{k: v for k, v in image.items() if k != "ms"} for image in results["images"]]}


def on_all_cores(arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run `deblurzoo ARGUMENTS…` in a folder, with as many threads as other processes leave cores free."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "deblurzoo", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def brighten(run: Path, steps: float) -> None:
    """Modify the network of `identity` to add a fraction of an 8-bit step to every pixel."""
    path = run / "checkpoints" / "step_00000000.ckpt"
    content = torch.load(path, weights_only=True)
    content["state_dict"]["net.at_scale.0.out_block.1.bias"] += steps / 255
    torch.save(content, path)


def evaluate_here(*overrides: str, anew: bool = True) -> Results:
    """Evaluate in this process, for speed; return the results."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return read(evaluate(compose("evaluate", ["trainer=cpu", "datamodule.workers=0", *overrides]), anew))
