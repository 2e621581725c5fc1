"""The checkpoint with the best validation metric, kept on request."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from commands.test_resume import ARGUMENTS, assert_equal_to_the_bit, final
from conftest import TINY, Run
from verbs import refused

MONITOR = "callbacks.checkpoints.monitor=val/psnr"
STEPS = ["trainer.max_steps=6", "trainer.val_check_interval=1", "callbacks.checkpoints.every=3"]


def best(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    return content


def measured(run: Path) -> dict[int, float]:
    """Return the logged validation PSNR by step."""
    rows = [row for file in sorted(run.glob("csv/*/metrics.csv")) for row in csv.DictReader(file.open())]
    return {int(row["step"]) + 1: float(row["val/psnr"]) for row in rows if row.get("val/psnr")}


@pytest.mark.parametrize("averaged", [[], ["callbacks=ema", "callbacks.ema.decay=0.5"]])
def test_the_best_checkpoint_is_kept_evaluated_and_never_taken_as_the_newest(
    averaged: list[str], deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "run"
    exact = "trainer.precision=32-true"  # of the evaluation; a CPU with bfloat16 would train in bfloat16
    arguments = ["train", *TINY, *averaged, *STEPS, MONITOR, exact, f"data.root={toy}", "name=run"]
    done = deblurzoo(*arguments, "model.optimizer.lr=0.05", "callbacks.checkpoints.keep=1")
    assert done.returncode == 0, done.stderr
    assert "val/psnr: test frames choose best.ckpt, as GOPRO" in done.stdout + done.stderr
    values = measured(run)
    step = max(values, key=lambda one: values[one])
    assert sorted(file.name for file in (run / "checkpoints").iterdir()) == ["best.ckpt", "step_00000006.ckpt"]
    assert best(run)["global_step"] == step
    assert best(run)["deblurzoo"]["best"]["val/psnr"] == pytest.approx(values[step])

    settings = ["data=toy", f"data.root={toy}", "trainer=cpu"]
    for checkpoint, at, name in (("runs/run", 6, "run"), ("runs/run/checkpoints/best.ckpt", step, "run best")):
        evaluated = deblurzoo("evaluate", f"checkpoint={checkpoint}", *settings)
        assert evaluated.returncode == 0, evaluated.stderr
        files = [json.loads(file.read_text()) for file in run.glob("evaluate/*/results.json")]
        (results,) = (one for one in files if one["name"] == name)
        assert results["checkpoint"]["step"] == at
    psnr = [image["restored"]["psnr"] for image in results["images"]]
    assert (psnr[0] + psnr[2]) / 2 == pytest.approx(values[step], abs=1e-4)  # the two validation frames


def test_the_best_value_survives_a_resume(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    arguments = ["train", *TINY, *STEPS, MONITOR, f"data.root={toy}", "name=run"]
    assert deblurzoo(*arguments, "trainer.max_steps=3").returncode == 0
    for value, step in ((99.0, 3), (1.0, 6)):  # better than any value, worse than any value
        content = best(run)
        content["deblurzoo"]["best"] = {"val/psnr": value}
        torch.save(content, run / "checkpoints" / "best.ckpt")
        done = deblurzoo(*arguments, "resume=auto", f"trainer.max_steps={step}")
        assert done.returncode == 0, done.stderr
    assert best(run)["deblurzoo"]["best"]["val/psnr"] == pytest.approx(max(measured(run).values()))


def test_a_kill_between_checkpoint_and_validation_loses_no_best_value(
    deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    """The checkpoint of a step is older than the validation of this step."""
    run = tmp_path / "runs" / "run"
    arguments = ["train", *TINY, *STEPS, MONITOR, f"data.root={toy}", "name=run", "model.optimizer.lr=0"]
    assert deblurzoo(*arguments, "trainer.max_steps=3").returncode == 0
    before = (run / "checkpoints" / "best.ckpt").read_bytes()
    done = deblurzoo(*arguments, "resume=auto")
    assert done.returncode == 0, done.stderr
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == before  # equal values are not better


def test_training_resumes_from_the_best_checkpoint_to_the_bit(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    arguments = ["train", *ARGUMENTS, *STEPS, MONITOR, f"data.root={toy}", "trainer.accumulate_grad_batches=2"]
    runs = tmp_path / "runs"
    assert deblurzoo(*arguments, "name=whole", "trainer.val_check_interval=4").returncode == 0
    assert best(runs / "whole")["global_step"] == 4
    done = deblurzoo(*arguments, "name=rest", "resume=runs/whole/checkpoints/best.ckpt")
    assert done.returncode == 0, done.stderr
    assert_equal_to_the_bit(final(runs / "whole"), final(runs / "rest"))


def test_a_corrupt_best_checkpoint_is_replaced(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    file = tmp_path / "runs" / "run" / "checkpoints" / "best.ckpt"
    arguments = ["train", *TINY, *STEPS, MONITOR, f"data.root={toy}", "name=run"]
    assert deblurzoo(*arguments, "trainer.max_steps=3").returncode == 0
    file.write_bytes(file.read_bytes()[:100])
    done = deblurzoo(*arguments, "resume=auto")
    assert done.returncode == 0, done.stderr
    assert "best.ckpt cannot be read" in done.stdout + done.stderr
    assert best(file.parents[1])["global_step"] > 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["callbacks.checkpoints.monitor=val/psnrr"], "callbacks.checkpoints.monitor=val/psnrr is not measured: choose "
         "from val/psnr, val/ssim, val/gain, or add a metric with metrics=[NAME]"),
        (["callbacks.checkpoints.monitor=val/mssim"], "choose from val/psnr, val/ssim, val/gain, or"),
        ([MONITOR, "trainer.val_check_interval=7"], "callbacks.checkpoints.monitor=val/psnr is never measured: "
         "trainer.val_check_interval=7 is above trainer.max_steps=6"),
    ],
)  # fmt: skip
def test_a_metric_that_is_not_measured_is_an_error_before_training(
    overrides: list[str], message: str, deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    refused(deblurzoo("train", *TINY, *STEPS, f"data.root={toy}", "name=run", *overrides), message)
    assert not (tmp_path / "runs" / "run" / "config.yaml").exists()


def test_an_additional_metric_can_choose(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    chosen = ["metrics=ssim_matlab3d", "callbacks.checkpoints.monitor=val/ssim_matlab3d"]
    done = deblurzoo("train", *TINY, *STEPS, *chosen, "trainer.max_steps=1", f"data.root={toy}", "name=run")
    assert done.returncode == 0, done.stderr
    assert list(best(tmp_path / "runs" / "run")["deblurzoo"]["best"]) == ["val/ssim_matlab3d"]
