"""Launchers and sweepers of others: several jobs at once, and a search."""

import json
from pathlib import Path

import pytest

from conftest import Run


def states(tmp_path: Path) -> list[str]:
    runs = sorted((tmp_path / "runs" / "table").iterdir())
    return [json.loads((run / "status.json").read_text())["state"] for run in runs]


@pytest.mark.processes
def test_joblib_runs_two_jobs_at_once(process: Run, sweep: list[str], tmp_path: Path) -> None:
    jobs = [*sweep, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = process(*jobs, "model.net.variant=full,no_rnns")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path) == ["done", "done"]


def test_optuna_maximises_the_psnr_and_may_repeat_a_trial(deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    search = ["hydra/sweeper=optuna", "hydra.sweeper.direction=maximize", "hydra.sweeper.n_trials=3"]
    done = deblurzoo(*sweep, *search, "model.net.residual=choice(true,false)")
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


def test_the_example_search_draws_from_its_space(deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    done = deblurzoo(*sweep, "hydra/sweeper=search", "hydra.sweeper.n_trials=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(states(tmp_path)) == {"done"}
    for run in (tmp_path / "runs" / "table").iterdir():
        assert "model.net.width-" in run.name and "model.optimizer.lr-" in run.name
