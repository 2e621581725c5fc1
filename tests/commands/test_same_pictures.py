"""A run resumes only on the images with which it started, in any folder."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conftest import SMALL_TOY, TINY, Run
from deblurzoo.synthesis.toy import write_toy

ARGUMENTS = ["train", *TINY, "name=run", "resume=auto"]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A toy data set with the names and sizes of `toy`, but other images."""
    write_toy(tmp_path / "other", replace(SMALL_TOY, seed=1))
    return tmp_path / "other"


def contents(folder: Path, *parts: str) -> dict[Path, bytes]:
    files = (file for part in parts or ("",) for file in (folder / part).rglob("*"))
    return {file: file.read_bytes() for file in files if file.is_file()}


@pytest.mark.parametrize("steps", [1, 2])
def test_a_run_does_not_resume_on_other_pictures(
    steps: int, deblurzoo: Run, toy: Path, other: Path, tmp_path: Path
) -> None:
    arguments = [*ARGUMENTS, f"trainer.max_steps={steps}"]
    done = deblurzoo(*arguments, f"data.root={toy}", "trainer.max_steps=1")
    assert done.returncode == 0, done.stderr
    before = contents(tmp_path / "runs")
    refused = deblurzoo(*arguments, f"data.root={other}")
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    message = " ".join(refused.stderr.split())
    assert f"was trained on different images (data.root={toy} then, data.root={other} now): use the original" in message
    assert "is finished" not in refused.stdout and contents(tmp_path / "runs") == before


def test_a_run_resumes_on_its_pictures_wherever_they_lie(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    shutil.copytree(toy, tmp_path / "moved")
    assert deblurzoo("data", "pack", "data=toy", f"data.root={toy}", "out=pack").returncode == 0
    places = [f"data.root={toy}", "data.root=moved", "data.packed=pack"]
    for step, place in enumerate(places, 1):
        done = deblurzoo(*ARGUMENTS, place, f"trainer.max_steps={step}")
        assert done.returncode == 0, done.stderr
        file = tmp_path / "runs" / "run" / "checkpoints" / f"step_{step:08d}.ckpt"
        facts = torch.load(file, weights_only=True)["deblurzoo"]["data"]
        assert facts["place"] == place
    assert deblurzoo(*ARGUMENTS, "data.root=moved", "trainer.max_steps=3").stdout.count("is finished at step 3") == 1


def test_a_checkpoint_of_version_0_1_resumes(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    done = deblurzoo(*ARGUMENTS, f"data.root={toy}", "trainer.max_steps=1")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "runs" / "run" / "checkpoints" / "step_00000001.ckpt"
    content = torch.load(file, weights_only=True)
    del content["deblurzoo"]["data"]
    torch.save(content, file)
    done = deblurzoo(*ARGUMENTS, f"data.root={toy}", "trainer.max_steps=2")
    assert done.returncode == 0 and file.with_name("step_00000002.ckpt").is_file(), done.stderr


def test_a_sweep_over_other_pictures_leaves_finished_runs_alone(
    deblurzoo: Run, sweep: list[str], toy: Path, other: Path, tmp_path: Path
) -> None:
    first = [*sweep, "model.net.variant=full"]
    done = deblurzoo(*first)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "table" / "model.net.variant-full"
    before = contents(run, "checkpoints", "evaluate")
    refused = deblurzoo(*sweep[:-1], f"data.root={other}", "model.net.variant=full,no_rnns")
    told = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode == 1 and "Traceback" not in told
    assert f"was trained on different images (data.root={toy} then, data.root={other} now)" in told
    assert "is finished" not in told
    assert contents(run, "checkpoints", "evaluate") == before
    second = run.with_name("model.net.variant-no_rnns")
    assert json.loads((second / "status.json").read_text())["state"] == "done"
    again = deblurzoo(*first)
    assert again.returncode == 0 and "evaluating" not in again.stdout, "the existing evaluation is found"
    assert json.loads((run / "status.json").read_text())["state"] == "done"


def test_an_evaluation_counts_in_a_sweep_on_the_same_test_pictures_alone(
    deblurzoo: Run, sweep: list[str], toy: Path, other: Path, tmp_path: Path
) -> None:
    done = deblurzoo(*sweep, "model.net.variant=full")
    assert done.returncode == 0, done.stdout + done.stderr
    mixed = tmp_path / "mixed"
    shutil.copytree(toy / "train", mixed / "train")
    shutil.copytree(other / "test", mixed / "test")
    done = deblurzoo(*sweep[:-1], "data.root=mixed", "model.net.variant=full")
    assert done.returncode == 0 and "is finished at step 2" in done.stdout, done.stdout + done.stderr
    files = sorted((tmp_path / "runs").rglob("results.json"))
    measured = [json.loads(file.read_text())["data"]["place"] for file in files]
    assert measured == [f"data.root={toy}", "data.root=mixed"]
