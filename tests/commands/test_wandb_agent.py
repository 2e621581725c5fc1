"""Trials of `wandb agent`: folder and id follow the agent's run, and each trial ends with an evaluation."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml
from wandb.wandb_agent import Agent

from commands.test_wandb import assert_charts_over_steps, records, summary
from conftest import TINY_NETS, TINY_RUN, Run
from deblurzoo.files import conf_dir
from verbs import refused

SMALL = [*TINY_RUN, *TINY_NETS["svrnn"], "logger=wandb", "trainer.max_steps=2", "trainer.val_check_interval=1"]


@pytest.mark.processes
def test_two_trials_of_the_example_are_evaluated_runs_of_their_own(
    toy: Path, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    agents = {"WANDB_DIR": str(tmp_path), "WANDB_SWEEP_ID": "sweep", "WANDB_MODE": "offline", "PATH": program}
    for name, value in {**environment, **agents, "WANDB_RUN_ID": "", "WANDB_SWEEP_PARAM_PATH": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    example = yaml.safe_load((conf_dir() / "wandb_sweep.yaml").read_text())
    agent = Agent(None, None, sweep_id="sweep")
    *shared, arguments = example["command"]
    agent._sweep_command = [*shared, *SMALL, f"data.root={toy}", arguments]
    drawn = {"aaaa1111": (1e-5, 0.125), "bbbb2222": (0.001, 0.25)}
    for trial, values in drawn.items():
        chosen = {key: {"value": value} for key, value in zip(example["parameters"], values, strict=True)}
        agent._command_run({"run_id": trial, "program": example["program"], "args": chosen})
        agent._run_processes[trial].wait()
        assert agent._run_processes[trial].poll() == 0

    for trial, (rate, width) in drawn.items():
        run = tmp_path / "runs" / "search" / trial
        assert json.loads((run / "run.json").read_text())["id"] == trial
        assert json.loads((run / "status.json").read_text())["state"] == "done"
        (folder,) = (run / "wandb").glob("offline-run-*")
        recorded = records(folder)
        (begun,) = (record["run"] for record in recorded if record["type"] == "run")
        assert (begun["run_id"], begun["sweep_id"], begun["run_group"]) == (trial, "sweep", "search")
        assert begun["config"]["update"]["model.optimizer.lr"] == rate
        (results,) = run.glob("evaluate/*/results.json")
        measured = json.loads(results.read_text())
        assert measured["network"]["arguments"]["width"] == width
        assert summary(recorded)["test/psnr"] == pytest.approx(measured["restored"]["psnr"])
        assert_charts_over_steps(recorded, {0, 1, 2})


def test_the_search_measures_metrics_that_exist() -> None:
    example = yaml.safe_load((conf_dir() / "wandb_sweep.yaml").read_text())
    assert example["metric"]["name"] == "val/psnr" and example["early_terminate"]["type"] == "hyperband"


def test_a_trial_is_no_multirun(deblurzoo: Run, toy: Path) -> None:
    agents = {"WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": "aaaa1111"}
    done = deblurzoo("train", "-m", "model=svrnn", *SMALL, "logger=csv", f"data.root={toy}", "seed=0,1", **agents)
    assert done.returncode == 1 and "remove -m" in done.stderr


def test_a_preempted_trial_resumes(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    agents = {"WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": "aaaa1111"}
    arguments = ["train", "model=svrnn", *SMALL, "logger=csv", f"data.root={toy}", "name=search"]
    begun = deblurzoo(*arguments, "trainer.max_steps=1")
    assert begun.returncode == 0 and not list(tmp_path.glob("runs/search/evaluate"))
    trial = tmp_path / "runs" / "search" / "aaaa1111"
    for step in (1, 2):
        done = deblurzoo(*arguments, f"trainer.max_steps={step}", **agents)
        assert done.returncode == 0, done.stderr
        assert (trial / "checkpoints" / f"step_{step:08d}.ckpt").is_file()
    measured = [json.loads(file.read_text())["checkpoint"]["step"] for file in trial.glob("evaluate/*/results.json")]
    assert sorted(measured) == [1, 2]


def test_a_single_run_is_evaluated_at_its_end_by_request(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    arguments = ["train", "model=svrnn", *SMALL, "logger=csv", f"data.root={toy}", "name=run", "evaluate_at_end=true"]
    refused(deblurzoo(*arguments, "trainer.devices=2"), "a run is evaluated on one device")
    done = deblurzoo(*arguments)
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.glob("runs/run/evaluate/*/results.json")
    assert json.loads(results.read_text())["checkpoint"]["step"] == 2
    refused(deblurzoo(*arguments), "already contains a run")
    assert results.is_file()
