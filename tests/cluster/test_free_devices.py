"""Jobs that share the devices of a machine, and jobs on several devices; slots of the CPU stand for GPUs."""

import csv
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
import yaml

from conftest import SWEEP_EXPERIMENT, Run, Start, wait_for
from deblurzoo.files import lock
from verbs import Process, refused

pytestmark = pytest.mark.processes

VARIANTS = "model.net.variant=full,no_rnns,no_convs,no_skip"
FREE = ["trainer.devices=free", "paths.runs=runs"]
AT_ONCE = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=4"]


@pytest.fixture
def slots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of two slots that no other test uses."""
    return {"TMPDIR": str(tmp_path_factory.mktemp("tmp")), "DEBLURZOO_SLOTS": "2"}


def lengthen(tmp_path: Path, steps: int) -> None:
    longer = SWEEP_EXPERIMENT.replace("max_steps: 2", f"max_steps: {steps}")
    (tmp_path / "conf" / "experiment" / "table.yaml").write_text(longer)


def states(tmp_path: Path) -> list[str]:
    return [json.loads(file.read_text())["state"] for file in tmp_path.glob("runs/table/*/status.json")]


def printed(process: Process) -> str:
    return process.outputs[0].read_text() if process.outputs[0].exists() else ""


def begun(tmp_path: Path) -> set[Path]:
    return {file.parents[1] for file in tmp_path.glob("runs/table/*/checkpoints/step_*.ckpt")}


def require_no_process(tmp_path: Path, slots: dict[str, str] | None = None) -> None:
    """Check that all processes in the folder end, and that none of `slots` is locked."""
    deadline = time.monotonic() + 120
    while here := [process for process in psutil.process_iter() if is_in(process, tmp_path)]:
        assert time.monotonic() < deadline, here
        time.sleep(0.05)
    for slot in Path(slots["TMPDIR"], "deblurzoo-devices").glob("CPU-*") if slots else ():
        with slot.open("r+b") as file:
            assert lock(file), slot


def is_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder)
    except psutil.Error:
        return False


def test_four_jobs_share_two_slots_and_survive_a_kill(
    start: Start, process: Run, sweep: list[str], slots: dict[str, str], tmp_path: Path
) -> None:
    lengthen(tmp_path, 1_000_000)
    killed = start(*sweep, VARIANTS, *FREE, *AT_ONCE, **slots)
    waiting = "waiting for 1 free of 2 devices; in use: CPU-0 (process "
    wait_for(lambda: len(begun(tmp_path)) == 2 and printed(killed).count(waiting) == 2, killed)
    assert states(tmp_path) == 4 * ["running"] and len(begun(tmp_path)) == 2
    one = json.loads((min(begun(tmp_path)) / "status.json").read_text())["process"]
    assert one != killed.pid
    os.kill(one, signal.SIGKILL)
    assert killed.result().returncode == 1  # joblib ends the other jobs
    require_no_process(tmp_path, slots)

    reached = max(int(file.stem[5:]) for file in tmp_path.glob("runs/table/*/checkpoints/step_*.ckpt"))
    lengthen(tmp_path, reached + 2)
    again = process(*sweep, VARIANTS, *FREE, *AT_ONCE, **slots)
    assert again.returncode == 0, again.stdout + again.stderr
    assert states(tmp_path) == 4 * ["done"]
    assert len(list(tmp_path.glob("runs/table/*/evaluate/*/results.json"))) == 4
    require_no_process(tmp_path, slots)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_jobs_of_joblib_end_with_their_sweep(
    number: int, start: Start, sweep: list[str], slots: dict[str, str], tmp_path: Path
) -> None:
    """Two jobs train; one waits for a free device. (A process without a job would be ended by joblib after minutes.)"""
    lengthen(tmp_path, 1_000_000)
    killed = start(*sweep, "seed=0,1,2", *FREE, AT_ONCE[0], "hydra.launcher.n_jobs=3", **slots)
    wait_for(lambda: len(begun(tmp_path)) == 2 and "waiting for 1 free" in printed(killed), killed)
    os.kill(killed.pid, number)
    assert killed.wait(timeout=60) == -number
    require_no_process(tmp_path, slots)
    assert len(begun(tmp_path)) == 2


def test_two_terminals_share_a_slot(start: Start, sweep: list[str], slots: dict[str, str], tmp_path: Path) -> None:
    lengthen(tmp_path, 1_000_000)
    single = [argument for argument in sweep if argument != "-m"]
    one = {**slots, "DEBLURZOO_SLOTS": "1"}
    first = start(*single, *FREE, "name=first", **one)
    wait_for(lambda: list(tmp_path.glob("runs/first/checkpoints/*.ckpt")), first)
    second = start(*single, *FREE, "name=second", "trainer.max_steps=2", **one)
    message = f"waiting for 1 free of 1 devices; in use: CPU-0 (process {first.pid}, runs/first)"
    wait_for(lambda: message in printed(second), second)
    assert not (tmp_path / "runs/second/config.yaml").exists()
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=120) == 1
    done = second.result()
    assert done.returncode == 0 and "done. Next" in done.stdout, done.stdout + done.stderr
    require_no_process(tmp_path, slots)


def test_jobs_on_two_devices_are_trained_by_torchrun_and_evaluated(
    process: Run, sweep: list[str], slots: dict[str, str], tmp_path: Path
) -> None:
    seeds = [*sweep, "seed=0,1", "trainer.devices=free:2", "logger=wandb"]
    done = process(*seeds, **slots, WANDB_MODE="offline")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("on CPU-0, CPU-1") == 2 and "training 2/2" in done.stdout
    runs = sorted((tmp_path / "runs" / "table").iterdir())
    for run in runs:
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["trainer"]["devices"] == 2 and config["group"] == "table"
        assert config["label"] == f"table {run.name}" and config["run_id"] in (run / "run.json").read_text()
        (results,) = run.glob("evaluate/*/results.json")
        assert json.loads(results.read_text())["config"]["trainer"]["devices"] == 1
        assert list(run.glob(f"wandb/offline-run-*-{config['run_id']}"))
    assert len(runs) == 2 and states(tmp_path) == ["done", "done"]
    again = process(*seeds, **slots, WANDB_MODE="offline")
    assert again.returncode == 0 and again.stdout.count("is finished at step 2") == 2
    require_no_process(tmp_path, slots)


def test_a_single_run_on_two_free_devices(
    process: Run, sweep: list[str], slots: dict[str, str], tmp_path: Path
) -> None:
    single = [argument for argument in sweep if argument != "-m"]
    done = process(*single, "trainer.devices=free:2", **slots)
    assert done.returncode == 0 and done.stdout.count("done. Next") == 1, done.stdout + done.stderr
    assert "devices: 2" in (tmp_path / "runs/table/config.yaml").read_text()
    evaluated = process("evaluate", "checkpoint=runs/table", "data=toy", sweep[-1], "trainer=cpu",
                        "trainer.devices=free", "datamodule.workers=1", **slots)  # fmt: skip
    assert evaluated.returncode == 0 and "on CPU-0\n" in evaluated.stdout, evaluated.stdout + evaluated.stderr
    require_no_process(tmp_path, slots)


def test_a_failed_job_on_two_devices_gives_its_reason(process: Run, sweep: list[str], tmp_path: Path) -> None:
    done = process(*sweep, "model.optimizer.lr=1e20", "trainer.devices=2")
    assert done.returncode == 1 and "ChildFailedError" not in done.stderr and "Traceback" not in done.stderr
    (failed,) = tmp_path.glob("runs/table/*/status.json")
    assert json.loads(failed.read_text())["reason"].startswith("the loss is nan at step 1; ")
    require_no_process(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_processes_of_a_stopped_job_end_and_it_resumes(
    number: int, start: Start, process: Run, sweep: list[str], tmp_path: Path
) -> None:
    job = [*sweep, "trainer.devices=2", "hydra.sweep.subdir=table/job"]
    lengthen(tmp_path, 1_000_000)
    stopped = start(*job)
    wait_for(lambda: begun(tmp_path), stopped)
    stopped.send_signal(number)
    stopped.wait(timeout=120)
    require_no_process(tmp_path)
    run = tmp_path / "runs" / "table" / "job"
    if number == signal.SIGINT:
        refused(stopped.result(), "interrupted: runs/table/job is saved at step ", code=130)
    if number == signal.SIGTERM:
        assert json.loads((run / "status.json").read_text())["reason"] == "stopped by a signal"
    reached = max(int(file.stem[5:]) for file in run.glob("checkpoints/step_*.ckpt"))
    lengthen(tmp_path, reached + 2)
    done = process(*job)
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path) == ["done"]
    curve = [row for row in csv.DictReader(max(run.glob("csv/*/metrics.csv")).open()) if row["train/loss"]]
    assert int(curve[0]["step"]) >= reached  # resumed, not restarted
