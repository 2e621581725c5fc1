"""W&B without an account: offline, said once, one run per id."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from conftest import TINY, Run

WANDB = Path(sys.executable).with_name("wandb")


def records(folder: Path) -> list[dict]:
    """Return the records of the offline run in a folder."""
    (file,) = folder.glob("*.wandb")
    done = subprocess.run([WANDB, "leet", "inspect", "--json", file], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_offline_run_is_recorded_and_continued(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    arguments = [*TINY, f"data.root={toy}", "logger=wandb", "name=run", "group=table", "tags=[toy]",
                 "trainer.val_check_interval=2", "trainer.log_every_n_steps=1"]  # fmt: skip
    done = deblurzoo("train", *arguments, "trainer.max_steps=2")
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("W&B records offline: no account is known") == 1
    run = tmp_path / "runs" / "run"
    identity = json.loads((run / "run.json").read_text())["id"]
    checkpoint = torch.load(run / "checkpoints" / "step_00000002.ckpt", weights_only=True)
    assert checkpoint["deblurzoo"]["run_id"] == identity

    (folder,) = (run / "wandb").glob("offline-run-*")
    assert folder.name.endswith(identity)
    text = json.dumps(records(folder))
    for expected in ("val/psnr", "val/ssim", "train/lr", "media/images", "table", "kernel_size"):
        assert expected in text, expected

    done = deblurzoo("train", *arguments, "trainer.max_steps=3", "resume=auto")
    assert done.returncode == 0, done.stderr
    assert all(f.name.endswith(identity) for f in (run / "wandb").glob("offline-run-*"))
    assert json.loads((run / "run.json").read_text())["id"] == identity


def test_the_jobs_of_a_sweep_are_runs_of_one_group_with_results(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    arguments = [*TINY, f"data.root={toy}", "logger=wandb", "name=table", "group=table", "trainer.max_steps=1"]
    done = deblurzoo("train", "-m", *arguments, "seed=1,2")
    assert done.returncode == 0, done.stdout + done.stderr
    folders = sorted(tmp_path.glob("runs/table/*/wandb/offline-run-*"))
    assert len(folders) == 2 and len({folder.name[-8:] for folder in folders}) == 2
    for seed, folder in enumerate(folders, 1):
        text = json.dumps(records(folder))
        assert f"seed-{seed}" in text and "kernel_size" in text
        for expected in ("test/psnr", "test/ssim_matlab3d", "table"):
            assert expected in text, expected


def test_a_server_that_refuses_does_not_stop_training(deblurzoo: Run, toy: Path) -> None:
    variables = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = deblurzoo("train", *TINY, f"data.root={toy}", "logger=wandb", "name=run", "trainer.max_steps=1", **variables)
    assert done.returncode == 0, done.stderr
    assert "W&B records offline: the server did not answer" in done.stdout + done.stderr
