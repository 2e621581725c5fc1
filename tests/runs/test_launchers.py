"""Launchers and sweepers of others: several jobs at once, and a search."""

import json
from pathlib import Path

from conftest import Run

EXPERIMENT = """# @package _global_
defaults: [override /model: svrnn, override /trainer: cpu, override /logger: csv]
name: table
model: {net: {width: 0.125}, vgg16: null}
loader: {batch_size: 2, workers: 1, val_frames: 2, augmentation: {crop: 16}}
trainer: {max_steps: 2, val_check_interval: 2}
"""


def arguments(tmp_path: Path, toy: Path) -> list[str]:
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "table.yaml").write_text(EXPERIMENT)
    return ["train", "--config-dir", "conf", "-m", "experiment=table", f"data.root={toy}"]


def states(tmp_path: Path) -> list[str]:
    runs = sorted((tmp_path / "runs" / "table").iterdir())
    return [json.loads((run / "status.json").read_text())["state"] for run in runs]


def test_joblib_runs_two_jobs_at_once(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    sweep = [*arguments(tmp_path, toy), "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = deblurzoo(*sweep, "model.net.variant=full,no_rnns")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path) == ["done", "done"]


def test_optuna_maximises_the_psnr_and_may_repeat_a_trial(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    search = ["hydra/sweeper=optuna", "hydra.sweeper.direction=maximize", "hydra.sweeper.n_trials=3"]
    done = deblurzoo(*arguments(tmp_path, toy), *search, "model.net.residual=choice(true,false)")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(states(tmp_path)) == {"done"}
    psnr = [
        json.loads(file.read_text())["restored"]["psnr"] for file in tmp_path.glob("runs/table/*/evaluate/*/*.json")
    ]
    assert f"{max(psnr):.4f}" in "".join(
        f"{float(line.split()[-1]):.4f}"
        for line in (tmp_path / "runs" / "optimization_results.yaml").read_text().splitlines()
        if line.startswith("best_value")
    )
