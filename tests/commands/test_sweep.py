"""Sweeps: all jobs are evaluated, failures reported, finished jobs skipped, interrupted jobs resumed."""

import csv
import json
import os
import re
import shutil
import signal
import socket
from pathlib import Path

import pytest
import yaml

from conftest import SWEEP_EXPERIMENT, Run, Start, wait_for
from deblurzoo.commands.job_names import folder_name
from deblurzoo.reports.run_folder import announce, record_step, recorded
from verbs import refused

VARIANTS = "model.net.variant=full,no_rnns"


def state(run: Path) -> str:
    return str(json.loads((run / "status.json").read_text())["state"])


def test_a_sweep_is_evaluated_and_a_second_one_does_nothing(deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    arguments = [*sweep, VARIANTS]
    done = deblurzoo(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = sorted((tmp_path / "runs" / "table").iterdir())
    assert [run.name for run in runs] == ["model.net.variant-full", "model.net.variant-no_rnns"]
    assert [state(run) for run in runs] == ["done", "done"]
    compared = deblurzoo("compare", "runs/table", "--csv", "table.csv", "--markdown", "table.md")
    for text in (compared.stdout, (tmp_path / "table.md").read_text()):
        assert "table model.net.variant-full" in text and "blurry input" in text
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [row["name"] for row in rows] == [f"table {run.name}" for run in runs]

    written = {path: path.stat().st_mtime_ns for run in runs for path in run.glob("checkpoints/*")}
    again = deblurzoo(*arguments)
    assert again.returncode == 0 and again.stdout.count("is finished at step 2") == 2
    assert "evaluating" not in again.stdout
    assert written == {path: path.stat().st_mtime_ns for path in written}

    experiment = tmp_path / "conf" / "experiment" / "table.yaml"
    experiment.write_text(SWEEP_EXPERIMENT.replace("max_steps: 2", "max_steps: 3"))
    longer = deblurzoo(*arguments)
    assert longer.returncode == 0, longer.stdout + longer.stderr
    for run in runs:
        names = {"toy_blur": 2, "toy_blur_step3": 3}
        measured = {name: json.loads((run / "evaluate" / name / "results.json").read_text()) for name in names}
        assert {name: results["checkpoint"]["step"] for name, results in measured.items()} == names
        shutil.rmtree(run / "evaluate" / "toy_blur")

    first = runs[0] / "evaluate" / "toy_blur_step3" / "results.json"  # as if evaluated under other conditions
    first.write_text(first.read_text().replace('"rounding": "nearest"', '"rounding": "floor"'))
    first.parent.rename(first.parent.with_name("other"))
    once_more = deblurzoo(*arguments)
    assert once_more.returncode == 0 and "evaluating" in once_more.stdout
    assert '"rounding": "nearest"' in (first.parents[1] / "toy_blur" / "results.json").read_text()
    shutil.rmtree(first.parent.with_name("other"))

    damaged, other = (next(run.glob("evaluate/*/results.json")) for run in runs)
    damaged.write_text(damaged.read_text()[:500])
    compared = deblurzoo("compare", "runs/table", "runs", "--markdown", "table.md")
    assert compared.returncode == 0, compared.stderr
    text = (tmp_path / "table.md").read_text()
    assert str(damaged.relative_to(tmp_path)) in text and text.count(runs[1].name) == 1
    inside = deblurzoo("compare", other, "--html", "page.html")
    assert inside.returncode == 0, inside.stderr


def test_a_failed_job_stops_no_other_is_told_and_run_again(
    deblurzoo: Run, sweep: list[str], tmp_path: Path, toy: Path
) -> None:
    broken = tmp_path / "conf" / "experiment" / "broken.yaml"
    broken.write_text(SWEEP_EXPERIMENT.replace("name: table", "name: broken\ndata: {root: nowhere}"))
    good = tmp_path / "conf" / "experiment" / "table.yaml"
    good.write_text(SWEEP_EXPERIMENT.replace("name: table", f"name: table\ndata: {{root: {toy}}}"))
    arguments = [*sweep[:-2], "experiment=broken,table"]
    done = deblurzoo(*arguments)
    assert done.returncode == 1 and "data.root=nowhere is not a folder" in done.stdout + done.stderr
    failed, other = (next((tmp_path / "runs" / name).glob("**/status.json")).parent for name in ("broken", "table"))
    assert (state(failed), state(other)) == ("failed", "done")
    compared = deblurzoo("compare", "runs", "--html", "page.html")
    assert compared.returncode == 0
    for told in (compared.stdout, (tmp_path / "page.html").read_text()):
        assert "data.root=nowhere is not a folder" in told

    broken.write_text(SWEEP_EXPERIMENT.replace("name: table", f"name: broken\ndata: {{root: {toy}}}"))
    again = deblurzoo(*arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("is finished at step 2") == 1 and again.stdout.count("training 2/2") == 1
    assert (state(failed), state(other)) == ("done", "done")


def test_two_jobs_of_a_sweep_never_share_a_folder(deblurzoo: Run, sweep: list[str], tmp_path: Path, toy: Path) -> None:
    (tmp_path / "conf" / "experiment" / "twin.yaml").write_text(SWEEP_EXPERIMENT)
    arguments = [*sweep[:-2], f"data.root={toy}", "trainer.max_steps=1", "experiment=table,twin"]
    refused(deblurzoo(*arguments), "would be the folder of two jobs", "add name=NAME")
    assert not (tmp_path / "runs" / "table").exists()
    done = deblurzoo(*arguments, "name=both")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(run.name for run in (tmp_path / "runs" / "both").iterdir()) == ["experiment-table", "experiment-twin"]


def test_another_fixed_value_is_not_taken_for_a_finished_job(deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    arguments = [*sweep, VARIANTS, "trainer.max_steps=1"]
    done = deblurzoo(*arguments, "model.optimizer.lr=1e-4")
    assert done.returncode == 0, done.stdout + done.stderr
    folders = sorted((tmp_path / "runs" / "table").iterdir())
    assert [run.name for run in folders] == ["model.net.variant-full", "model.net.variant-no_rnns"]
    files = [file for run in folders for file in run.rglob("*") if file.is_file() and file.name != "train.log"]
    before = [file.read_bytes() for file in files]
    for changed, message in (
        ("model.optimizer.lr=1e-3", "model.optimizer.lr: 0.0001 there, 0.001 in this sweep"),
        ("+model.optimizer.weight_decay=0.1", "model.optimizer.weight_decay: null there, 0.1 in this sweep"),
        ("seed=3", "seed: 0 there, 3 in this sweep"),
        ("blur=blur_gamma", "data.blur: blur there, blur_gamma in this sweep"),
        ("init=run", "init: null there, run in this sweep"),
    ):
        lr = [] if "lr=" in changed else ["model.optimizer.lr=1e-4"]
        data = ["data.blur=blur_gamma"] if "blur" in changed else []
        failed = deblurzoo(*arguments, *lr, *data, changed)
        refused(failed, message, "set name=OTHER")
    assert before == [file.read_bytes() for file in files]
    machine = ["datamodule.workers=0", "+model.optimizer.fused=false", "trainer.val_check_interval=1"]
    again = deblurzoo(*arguments, "model.optimizer.lr=1e-4", *machine)
    assert again.returncode == 0 and again.stdout.count("is finished at step 1") == 2, again.stdout + again.stderr


def test_a_sweep_from_a_checkpoint_is_repeated(deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    single = [argument for argument in sweep if argument != "-m"]
    assert deblurzoo(*single, "name=first", "trainer.max_steps=1").returncode == 0
    for number in (0, 2):
        done = deblurzoo(*sweep, "datamodule.val_frames=1,2", "resume=runs/first", "trainer.max_steps=2")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("is finished at step 2") == number


def test_jobs_are_named_by_the_swept_keys(deblurzoo: Run, sweep: list[str], tmp_path: Path, toy: Path) -> None:
    for folder in ("a/blur", "b/blur"):
        shutil.copytree(next(toy.glob("test/*/blur")), tmp_path / folder)
    fixed = [f"+callbacks.a{number}=null" for number in range(14)]
    sharp = f"data.test.sharp={next(toy.glob('test/*/sharp'))}"
    train = [f"data.train.{kind}={next(toy.glob(f'train/*/{kind}'))}" for kind in ("blur", "sharp")]
    folders = ["data=folder", "data.test.blur=a/blur,b/blur", sharp, *train]
    done = deblurzoo(*sweep[:-1], *folders, "trainer.max_steps=1", *fixed)
    assert done.returncode == 0, done.stdout + done.stderr
    names = sorted(run.name for run in (tmp_path / "runs" / "table").iterdir())
    assert [name[:-9] for name in names] == ["data.test.blur-a_blur", "data.test.blur-b_blur"]
    labels = [json.loads(file.read_text())["name"] for file in tmp_path.glob("runs/table/*/run.json")]
    assert sorted(labels) == [f"table {name}" for name in names]
    compared = deblurzoo("compare", "runs")
    assert all(name in compared.stdout for name in names)


def test_a_sweep_under_the_names_of_all_overrides_is_found(deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    arguments = [*sweep, "model.net.variant=full", "seed=3,4", "trainer.max_steps=1"]
    done = deblurzoo(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    table = tmp_path / "runs" / "table"
    earlier = table / "model.net.variant-full+seed-3+trainer.max_steps-1"
    (table / "seed-3").rename(earlier)
    again = deblurzoo(*arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("is finished at step 1") == 2
    assert sorted(run.name for run in table.iterdir()) == [earlier.name, "seed-4"]
    only = [*sweep, "trainer.max_steps=1", "model.net.variant=no_rnns", f"paths.data={tmp_path}"]
    assert deblurzoo(*only, "seed=5").returncode == 0  # named by all overrides, one of them with slashes
    assert deblurzoo(*only, "seed=5,6").stdout.count("is finished at step 1") == 1


@pytest.mark.parametrize("overrides", [["a.b=/x y/\"z\"", "c=[1,{d:2}]"], [f"a.k{n}=0.00{n}" for n in range(40)],
                                       ["d.e=/mnt/" + "long/" * 40 + "end"], ["d=" + "\N{SNOWMAN}é" * 90]])  # fmt: skip
def test_names_of_folders_are_short_plain_and_unique(overrides: list[str]) -> None:
    name, other = folder_name(overrides), folder_name([*overrides[:-1], overrides[-1] + "'"])
    assert len(name.encode()) <= 100 and re.fullmatch(r"[\w.+-]+", name), name
    assert name != other
    assert folder_name(["model.net.variant=full", "seed=1"]) == "model.net.variant-full+seed-1"


def test_compare_lists_many_jobs_in_natural_order(deblurzoo: Run, tmp_path: Path) -> None:
    for seed in range(200):
        announce(tmp_path / "runs" / "table" / f"seed-{seed}")
    compared = deblurzoo("compare", "runs")
    line = f"not begun: {', '.join(f'table seed-{seed}' for seed in range(5))} and 195 more"
    assert compared.returncode == 0 and compared.stdout.splitlines() == [line, "200 not begun"]


def test_compare_lists_jobs_of_each_state(deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    done = deblurzoo(*sweep, "seed=0,x,2", "trainer.max_steps=1")
    assert done.returncode == 1
    table = tmp_path / "runs" / "table"
    shutil.rmtree(table / "seed-2")
    announce(table / "seed-2")
    with recorded(table / "seed-3"):
        record_step(table / "seed-3", 40, 100, seconds_left=3700)
        compared = deblurzoo("compare", "runs", "--html", "page.html", "--csv", "table.csv", "--markdown", "table.md")
    record_step(table / "seed-3", 50, 100, seconds_left=10)
    assert state(table / "seed-3") == "done"
    assert compared.returncode == 0, compared.stderr
    here = f"running on {socket.gethostname()}, step 40 of 100, ETA 1:01:"
    page = (tmp_path / "page.html").read_text()
    for text in (compared.stdout, page, (tmp_path / "table.csv").read_text(), (tmp_path / "table.md").read_text()):
        assert here in text and "not begun" in text and "seed=x" in text
    assert "not begun: table seed-2\n" in compared.stdout and "table seed-x: " in compared.stdout
    assert "1 running, 1 not begun, 1 failed" in compared.stdout
    assert "1 running, 1 not begun, 1 failed" in page and page.count("<strong>failed</strong>") == 1


@pytest.mark.processes
def test_a_killed_sweep_goes_on_where_it_was(start: Start, deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    experiment = tmp_path / "conf" / "experiment" / "table.yaml"
    experiment.write_text(SWEEP_EXPERIMENT.replace("max_steps: 2", "max_steps: 400"))
    full = tmp_path / "runs" / "table" / "model.net.variant-full"
    killed = start(*sweep, VARIANTS)
    wait_for(lambda: any(full.glob("checkpoints/step_*.ckpt")), killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(timeout=60)
    assert state(full) == "running"
    stopped = max(int(path.stem[5:]) for path in full.glob("checkpoints/step_*.ckpt"))
    assert stopped < 400
    assert f"table {full.name}: interrupted" in " ".join(deblurzoo("compare", "runs/table").stdout.split())

    experiment.write_text(SWEEP_EXPERIMENT.replace("max_steps: 2", f"max_steps: {stopped + 3}"))
    done = deblurzoo(*sweep, VARIANTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [state(run) for run in sorted(full.parent.iterdir())] == ["done", "done"]
    curve = [row for row in csv.DictReader(max(full.glob("csv/version_*/metrics.csv")).open()) if row["train/loss"]]
    assert int(curve[0]["step"]) >= stopped  # resumed, not restarted


@pytest.mark.processes
def test_names_of_digits_are_names(process: Run, sweep: list[str], tmp_path: Path) -> None:
    done = process(*sweep, "name=2021", "logger=wandb", WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "2021"
    assert json.loads((run / "run.json").read_text())["name"] == "2021"
    assert yaml.safe_load((run / "config.yaml").read_text())["tags"] == ["2021"]
    assert "2021" in process("compare", run).stdout


def test_a_job_that_ends_early_is_evaluated(deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    early = ["+callbacks.early._target_=pytorch_lightning.callbacks.EarlyStopping", "+callbacks.early.monitor=val/psnr",
             "+callbacks.early.mode=max", "+callbacks.early.stopping_threshold=0"]  # fmt: skip
    steps = ["trainer.max_steps=9", "trainer.val_check_interval=1", "callbacks.checkpoints.every=9"]
    done = deblurzoo(*sweep, *early, *steps, "hydra.sweep.subdir=table")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(next((tmp_path / "runs/table").glob("evaluate/*/results.json")).read_text())
    assert results["checkpoint"]["step"] == 1 and state(tmp_path / "runs/table") == "done"


def test_a_job_with_a_wrong_config_is_named_by_compare(deblurzoo: Run, sweep: list[str], tmp_path: Path) -> None:
    done = deblurzoo(*sweep, "seed=0,x", "trainer.max_steps=1")
    assert done.returncode == 1 and "seed=x: Input should be a valid integer" in done.stderr
    (file,) = tmp_path.glob("runs/table/*seed-x*/status.json")
    failed = json.loads(file.read_text())
    assert failed["state"] == "failed" and "seed=x" in failed["reason"]
    compared = deblurzoo("compare", "runs/table")
    assert ": the config is invalid (seed=x: Input should be a valid integer)" in " ".join(compared.stdout.split())
