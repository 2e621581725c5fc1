"""External launchers and sweepers: several jobs at once, and a search."""

import csv
import json
import os
import re
import signal
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from conftest import Run, Start, wait_for
from verbs import refused

RANDOM = ["hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1"]
SEARCH = ["hydra/sweeper=search", *RANDOM, "model.net.width=0.125"]
HUNGRY = """
import weakref
import pytorch_lightning as pl
import torch

class Hungry(pl.Callback):
    held = weakref.WeakSet()

    def on_train_start(self, trainer, module):
        if self.held:
            raise RuntimeError("the failed trial still holds its memory")
        batch = torch.zeros(1)
        self.held.add(batch)
        raise torch.OutOfMemoryError("CUDA out of memory")
"""
"""A user's callback that fails while a variable holds memory, as on a GPU that is too small."""


def states(tmp_path: Path) -> list[str]:
    files = sorted(tmp_path.glob("runs/table/*/status.json"))
    return [json.loads(file.read_text())["state"] for file in files]


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
    for file in tmp_path.glob("runs/table/*/status.json"):
        assert "model.net.width-" in file.parent.name and "model.optimizer.lr-" in file.parent.name


def test_a_search_resumes_with_its_trials(deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    search = [*sweep, "hydra/sweeper=search", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1"]
    done = deblurzoo(*search, "hydra.sweeper.n_trials=2", "trainer.max_steps=1")
    assert done.returncode == 0, done.stdout + done.stderr
    file = tmp_path / "runs" / "table" / "search.json"
    first = json.loads(file.read_text())["trials"]
    runs = set(tmp_path.glob("runs/table/*/run.json"))
    assert len(first) == len(runs) == 2

    again = deblurzoo(*search, "hydra.sweeper.n_trials=3", "trainer.max_steps=1")
    assert again.returncode == 0, again.stdout + again.stderr
    trials = json.loads(file.read_text())["trials"]
    assert trials[:2] == first and trials[2] not in first  # the seed does not repeat the first trials
    assert again.stdout.count("is finished at step 1") == 2 and again.stdout.count("training 1/1") == 1
    assert len(set(tmp_path.glob("runs/table/*/run.json")) - runs) == 1
    best = yaml.safe_load((tmp_path / "runs" / "optimization_results.yaml").read_text())["best_value"]
    results = [json.loads(one.read_text()) for one in tmp_path.glob("runs/table/*/evaluate/*/results.json")]
    assert best == max(one["restored"]["psnr"] for one in results)

    narrower = deblurzoo(*search, "model.net.width=choice(0.125)", "hydra.sweeper.n_trials=1", "trainer.max_steps=1")
    assert narrower.returncode == 0, narrower.stdout + narrower.stderr
    kept = json.loads(file.read_text())["trials"]
    assert kept[-1]["model.net.width"] == 0.125 and all(trial in kept for trial in trials)

    file.write_text("{")
    refused(deblurzoo(*search), "search.json cannot be used", "remove")


@pytest.mark.processes
def test_a_killed_search_resumes_its_trial(start: Start, process: Run, sweep: list[str], tmp_path: Path) -> None:
    search = [*sweep, "hydra/sweeper=search", "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=2"]
    killed = start(*search, "trainer.max_steps=1000000")
    wait_for(lambda: list(tmp_path.glob("runs/table/*/checkpoints/step_*.ckpt")), killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(timeout=60)
    (trial,) = (file.parent for file in tmp_path.glob("runs/table/*/run.json"))
    (values,) = json.loads((tmp_path / "runs/table/search.json").read_text())["trials"]
    reached = max(int(file.stem[5:]) for file in trial.glob("checkpoints/step_*.ckpt"))
    done = process(*search, f"trainer.max_steps={reached + 1}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "runs/table/search.json").read_text())["trials"][0] == values
    assert states(tmp_path) == ["done", "done"]
    curve = [row for row in csv.DictReader(max(trial.glob("csv/*/metrics.csv")).open()) if row["train/loss"]]
    assert int(curve[0]["step"]) >= reached  # resumed, not restarted


def trials(done: "CompletedProcess[str]") -> int:
    """Return the number of started trials."""
    return done.stdout.count("Launching 1 jobs locally")


def test_a_failed_trial_ends_no_search_and_the_exit_code_tells(
    deblurzoo: Run, sweep: list[str], tmp_path: Path
) -> None:
    search = [*sweep, *SEARCH, "hydra.sweeper.n_trials=5"]
    done = deblurzoo(*search, "model.optimizer.lr=choice(1e20,1e-4,1e-3)")
    assert done.returncode == 1 and trials(done) == 5, done.stdout + done.stderr
    assert {"done", "failed"} == set(states(tmp_path))
    (failed,) = (run.name for run in tmp_path.glob("runs/table/*") if run.name.endswith("lr-1e+20"))
    message = done.stderr[done.stderr.index("error: ") :]
    assert re.match(r"error: [1-4] of 5 trials failed\n", message)
    assert message.count(f"runs/table/{failed}: the loss is nan at step 1") == 1 and "Traceback" not in done.stderr
    best = yaml.safe_load((tmp_path / "runs" / "optimization_results.yaml").read_text())
    assert best["best_params"]["model.optimizer.lr"] < 1 and best["best_value"] > 0


def test_a_search_of_which_all_trials_fail_says_why(deblurzoo: Run, sweep: list[str]) -> None:
    done = deblurzoo(*sweep[:-1], "data.root=nowhere", *SEARCH, "hydra.sweeper.n_trials=2")
    assert done.returncode == 1 and trials(done) == 2
    assert "error: 2 of 2 trials failed" in done.stderr and "data.root=nowhere is not a folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_search_for_two_figures_is_refused(deblurzoo: Run, sweep: list[str]) -> None:
    done = deblurzoo(*sweep, *SEARCH, "hydra.sweeper.direction=[maximize,minimize]")
    assert done.returncode == 1 and "hydra.sweeper.direction" in done.stderr and "Traceback" not in done.stderr


def test_a_trial_that_ran_out_of_memory_leaves_it_to_the_next(
    deblurzoo: Run, sweep: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hungry.py").write_text(HUNGRY)
    monkeypatch.syspath_prepend(tmp_path)
    done = deblurzoo(*sweep, *SEARCH, "hydra.sweeper.n_trials=2", "+callbacks.hungry._target_=hungry.Hungry")
    assert done.returncode == 1 and trials(done) == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "2 of 2 trials failed" in done.stderr
    assert done.stderr.count("there is too little memory (CUDA out of memory") == 2, done.stderr


@pytest.mark.processes
def test_trials_beside_each_other_may_be_equal_or_fail(process: Run, sweep: list[str], tmp_path: Path) -> None:
    at_once = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=4", "hydra.sweeper.n_trials=4"]
    done = process(*sweep, *SEARCH, *at_once, "model.optimizer.lr=choice(1e20,1e-4)")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search("error: [1-3] of 4 trials failed", done.stderr) and "lr-1e+20: the loss is nan" in done.stderr
    assert sorted(states(tmp_path)) == ["done", "failed"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.optimizer.lr=interval(3,1)", "error: model.optimizer.lr=interval(3,1) is not a search space (The"),
        ("model.optimizer.lr=tag(log,interval(0,1))", "is not a search space (The `low` value must be larger than 0"),
        ("hydra.sweeper.n_trials=0", "error: the search has no trial (No trials are completed yet.)"),
        ("hydra.sweeper.storage=", "error: hydra.sweeper.storage= is empty: give a value, or omit it"),
        ("hydra.sweeper.storage=folder", "error: hydra.sweeper.storage=folder is not a file: give FILE.json"),
        ("hydra.sweeper.storage=null", "error: hydra.sweeper.storage=null is not a file: give FILE.json"),
        ("hydra.sweeper.storage=3", "error: hydra.sweeper.storage=3 is not a file: give FILE.json"),
        ("hydra.sweeper.storage=sqlite:///x", "error: hydra.sweeper.storage=sqlite:///x is not a file: give FILE.json"),
    ],
)
def test_a_search_that_cannot_start_is_one_message(
    override: str, message: str, deblurzoo: Run, sweep: list[str], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    done = deblurzoo(*sweep, *SEARCH, override)
    refused(done, message)
    assert done.stderr.count("error: ") == 1 and "CompactHydraException" not in done.stderr
    assert not list(tmp_path.rglob(".lock")) or "n_trials" in override
