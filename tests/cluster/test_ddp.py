"""Training with several processes takes the same steps as with one process."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import TINY, TINY_NETS, TINY_RUN, Run

pytestmark = pytest.mark.processes

DATA = ["datamodule.batch_size=4", "datamodule.val_frames=3"]
FULL = "trainer.precision=32-true"
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", FULL]


def weights(run: Path, steps: int) -> dict[str, torch.Tensor]:
    checkpoint: dict[str, Any] = torch.load(run / "checkpoints" / f"step_{steps:08d}.ckpt", weights_only=True)
    assert checkpoint["deblurzoo"]["run_id"] in (run / "run.json").read_text()
    state: dict[str, torch.Tensor] = checkpoint["state_dict"]
    return state


def logged(run: Path) -> dict[str, float]:
    """Return the logged values by name; losses and PSNR are from the last step."""
    (file,) = run.glob("csv/*/metrics.csv")  # only one process logs
    rows = list(csv.DictReader(file.open()))
    return {key: float(value) for row in rows for key, value in row.items() if value}


@pytest.mark.parametrize(("net", "steps"), [("srn", 20), ("flow_rnn", 2)])
def test_two_processes_take_the_steps_of_one(
    net: str, steps: int, process: Run, toy: Path, flow_toy: Path, tmp_path: Path
) -> None:
    root = flow_toy if net == "flow_rnn" else toy
    arguments = ["train", f"model={net}", *TINY_RUN, *TINY_NETS[net], *DATA, f"data.root={root}"]
    arguments += [f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps}"]
    for name, devices in (("one", [FULL]), ("two", TWO)):
        done = process(*arguments, *devices, f"name={name}")
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"training {steps}/{steps}") == done.stdout.count("done. Next") == 1
    one, two = (tmp_path / "runs" / name for name in ("one", "two"))
    for key, weight in weights(one, steps).items():
        torch.testing.assert_close(weights(two, steps)[key], weight, rtol=0, atol=1e-5)
    assert logged(two).keys() == logged(one).keys() >= {"train/loss", "val/psnr", "val/ssim", "val/gain"}
    for key, value in logged(one).items():
        assert logged(two)[key] == pytest.approx(value, rel=1e-5, abs=1e-5), key
    assert (two / "pictures").is_dir()


def test_torchrun_starts_both_processes(environment: dict[str, str], toy: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    command += ["--rdzv-endpoint=127.0.0.1:0", "-m", "deblurzoo", "train", *TINY, *DATA, *TWO]
    command += [f"data.root={toy}", "name=run", "trainer.max_steps=2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("done. Next") == 1 and weights(tmp_path / "runs" / "run", 2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("datamodule.batch_size=3", "error: datamodule.batch_size=3 cannot be split equally between 2 devices"),
        ("datamodule.val_frames=1", "error: 1 validation frames are too few for 2 devices"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(
    override: str, message: str, process: Run, toy: Path, tmp_path: Path
) -> None:
    done = process("train", *TINY, *DATA, f"data.root={toy}", *TWO, "name=run", override)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "runs" / "run" / "config.yaml").exists()


TORCHRUN = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "0",
            "TORCHELASTIC_RUN_ID": "x", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (TORCHRUN, "error: 4 processes were started for trainer.devices=2"),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, "Use `--ntasks-per-node=2` instead"),
    ],
)
def test_there_must_be_a_process_for_each_device(
    variables: dict[str, str], message: str, process: Run, toy: Path
) -> None:
    done = process("train", *TINY, f"data.root={toy}", *TWO, **variables)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
