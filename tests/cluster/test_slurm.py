"""Sweep on a single-node Slurm, with preemption and time limit."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("slurm_one_node.sh")
STEPS, EVERY = 400, 20
EXPERIMENT = f"""# @package _global_
defaults: [override /model: srn, override /trainer: cpu, override /logger: csv]
name: table
model: {{net: {{width: 0.125, kernel_size: 3, blocks: 1}}}}
datamodule: {{batch_size: 2, workers: 1, val_frames: 2, augmentation: {{crop: 16}}}}
trainer: {{max_steps: {STEPS}, val_check_interval: {STEPS}}}
callbacks: {{checkpoints: {{every: {EVERY}, keep: 100}}}}
"""
LAUNCHER = ["hydra/launcher=slurm", "hydra.launcher.gpus_per_node=null", "hydra.launcher.cpus_per_task=1"]


@pytest.fixture
def slurm() -> Iterator[dict[str, str]]:
    """Start Slurm for the duration of a test; yield the environment variables for its commands."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
    if missing or os.geteuid():
        pytest.skip(f"needs root and Slurm (apt-get install slurm-wlm munge); missing: {', '.join(missing) or 'root'}")
    with tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp") as folder:  # the socket's path must be short
        subprocess.run([SCRIPT, "start", folder], check=True, timeout=90)
        variables = {"SLURM_CONF": f"{folder}/slurm.conf"}
        try:
            yield variables
        finally:
            subprocess.run(["scancel", "--user=root", "--full"], env={**os.environ, **variables}, check=False)
            subprocess.run([SCRIPT, "stop", folder], check=True, timeout=90)


def wait_for(what: str, happened: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 240
    while not happened():
        assert process.poll() is None and time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


@pytest.mark.processes
def test_jobs_of_a_sweep_survive_requeue_and_time_limit(
    slurm: dict[str, str], environment: dict[str, str], toy: Path, tmp_path: Path
) -> None:
    experiments = tmp_path / "conf" / "experiment"
    experiments.mkdir(parents=True)
    (experiments / "table.yaml").write_text(EXPERIMENT)
    variables = {**environment, **slurm}
    arguments = ["train", "--config-dir", "conf", "-m", *LAUNCHER, "experiment=table", f"data.root={toy}", "seed=0,1"]
    command = [sys.executable, "-m", "deblurzoo", *arguments]
    with (tmp_path / "sweep.log").open("w") as output:
        sweep = subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=output, stderr=output, text=True)
    folders = [tmp_path / "runs" / "table" / f"seed-{seed}" for seed in (0, 1)]
    interruptions = [
        ["scontrol", "requeue"],
        ["scancel", "--signal=USR2"],
    ]  # preemption, then an approaching time limit
    first = [folder / "checkpoints" / f"step_{EVERY:08d}.ckpt" for folder in folders]
    try:
        wait_for("a first job", lambda: (tmp_path / "runs/.submitit").is_dir(), sweep)
        identities, written = [], []
        for index, interruption in enumerate(interruptions):
            wait_for(f"a checkpoint of job {index}", first[index].is_file, sweep)
            identities.append((folders[index] / "run.json").read_text())
            written.append(first[index].stat().st_mtime_ns)
            subprocess.run([*interruption, f"1_{index}"], env=variables, check=True)
        code = sweep.wait(timeout=280)
    finally:
        sweep.kill()
        logs = [file.read_text() for file in sorted(tmp_path.glob("runs/.submitit/1_*/*.out"))]
        print((tmp_path / "sweep.log").read_text(), *logs, sep="\n")
    assert code == 0

    for folder, log, checkpoint, identity, moment in zip(folders, logs, first, identities, written, strict=True):
        assert log.count("Starting with JobEnvironment") == 2
        stopped = int(re.findall(r"stopped by a signal at step (\d+)", log)[0])
        steps = sorted(int(path.stem[5:]) for path in folder.glob("checkpoints/*"))
        assert EVERY <= stopped < STEPS and steps == sorted({*range(EVERY, STEPS + 1, EVERY), stopped})
        assert checkpoint.stat().st_mtime_ns == moment  # not written again
        assert (folder / "run.json").read_text() == identity
        last = torch.load(folder / "checkpoints" / f"step_{STEPS:08d}.ckpt", weights_only=True)
        assert last["global_step"] == STEPS and last["deblurzoo"]["run_id"] in identity
        assert '"state": "done"' in (folder / "status.json").read_text() and any(folder.glob("evaluate/*/results.json"))
    assert "Requeued job 1_1" in logs[1]
