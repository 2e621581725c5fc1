"""Training, evaluation and comparison from the command line."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from conftest import TINY, Run
from deblurzoo.training.precision import training_precision

STEPS = [
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
    "trainer.log_every_n_steps=1",
    "callbacks.checkpoints.every=2",
]


def train(deblurzoo: Run, toy: Path, *overrides: str, **variables: str) -> str:
    done = deblurzoo("train", *TINY, *STEPS, f"data.root={toy}", "name=run", *overrides, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "csv" / "version_0" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_train_evaluate_compare(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "run"
    out = train(deblurzoo, toy, "trainer.precision=32-true")
    assert "deblurzoo evaluate checkpoint=runs/run" in out
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["step_00000002.ckpt", "step_00000004.ckpt"]
    assert len(list((run / "pictures").glob("*.png"))) == 2
    logged = metrics(run)
    assert [row["step"] for row in logged if row["train/loss"]] == ["0", "1", "2", "3"]
    assert {"train/mse_1_4", "train/mse_1_1", "train/lr", "train/psnr", "val/psnr", "val/ssim", "val/gain"} <= set(
        logged[0]
    )
    last_validation = [row for row in logged if row["val/psnr"]][-1]

    done = deblurzoo(
        "evaluate", "checkpoint=runs/run", "data=toy", f"data.root={toy}", "trainer=cpu", "datamodule.workers=0"
    )
    assert done.returncode == 0, done.stderr
    out_folder = run / "evaluate" / "toy_blur"
    results = json.loads((out_folder / "results.json").read_text())
    assert results["frames"] == len(results["images"]) == 3
    assert results["resolution"] == ["64x48"]
    assert (results["protocol"], results["blur_folder"], results["split"]) == ("toy", "blur", "test")
    newest = run / "checkpoints" / "step_00000004.ckpt"
    assert results["checkpoint"]["sha256"] == hashlib.sha256(newest.read_bytes()).hexdigest()
    row = results["images"][0]
    files = {kind: toy / "test" / row["clip"] / kind / f"{row['frame']}.png" for kind in ("blur", "sharp")}
    files["restored"] = out_folder / "restored" / row["clip"] / f"{row['frame']}.png"
    pictures = {kind: cv2.imread(str(path)) for kind, path in files.items()}
    # The reported values match the images on disk.
    for kind, reported in (("blur", row["blurry"]), ("restored", row["restored"])):
        assert peak_signal_noise_ratio(pictures["sharp"], pictures[kind]) == pytest.approx(reported["psnr"], abs=1e-4)
    assert results["gain_db"] == pytest.approx(results["restored"]["psnr"] - results["blurry"]["psnr"])
    assert results["restored"]["psnr"] == pytest.approx(np.mean([r["restored"]["psnr"] for r in results["images"]]))
    # The evaluation matches the logged validation on its two frames.
    watched = [results["images"][i]["restored"]["psnr"] for i in (0, 2)]
    assert float(last_validation["val/psnr"]) == pytest.approx(np.mean(watched), abs=1e-4)

    shutil.copytree(run, run.with_name("twin"))
    table = deblurzoo("compare", "runs/run", "runs/twin")
    assert table.returncode == 0, table.stderr
    assert "blurry input" in table.stdout and f"{results['restored']['psnr']:.2f}" in table.stdout
    assert table.stdout.count("toy test, protocol toy") == 1


def test_odd_sizes_and_another_blur_folder(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    train(deblurzoo, toy, "data.blur=blur_gamma")
    for kind in ("blur", "sharp"):
        (tmp_path / kind).mkdir()
        for name, size in {"a": (16, 16), "b": (37, 21)}.items():
            noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / kind / f"{name}.png"), noise if kind == "sharp" else noise // 2)
    done = deblurzoo(
        "evaluate", "checkpoint=runs/run", "data=folder", "data.test.blur=blur", "data.test.sharp=sharp", "out=out"
    )
    assert done.returncode == 0, done.stderr
    assert cv2.imread(str(tmp_path / "out" / "restored" / tmp_path.name / "b.png")).shape == (37, 21, 3)
    assert json.loads((tmp_path / "out" / "results.json").read_text())["resolution"] == ["16x16", "21x37"]
    # The default blur folder of an evaluation is the folder of training.
    done = deblurzoo("evaluate", "checkpoint=runs/run", "data=gopro", f"data.root={toy}", "out=out2")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out2" / "results.json").read_text())["blur_folder"] == "blur_gamma"


def test_bf16_and_ema(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    train(deblurzoo, toy, "trainer.precision=bf16-mixed", "callbacks=ema", "callbacks.ema.decay=0.5")
    checkpoint = torch.load(tmp_path / "runs/run/checkpoints/step_00000004.ckpt", weights_only=True)
    average, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    assert average.keys() == current.keys()
    assert any(not torch.equal(average[key], current[key]) for key in average)


def test_precision_is_the_devices_in_training_and_full_in_evaluation(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    assert f" in {training_precision('cpu')}" in train(deblurzoo, toy)
    done = deblurzoo("evaluate", "checkpoint=runs/run", "data=toy", f"data.root={toy}", "trainer=cpu", "out=out")
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "out" / "results.json").read_text())["config"]
    assert config["trainer"]["precision"] == "32-true"


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_fast_training_saves_ordinary_weights(environment: dict[str, str], toy: Path, tmp_path: Path) -> None:
    """In a separate process: compilation depends on earlier compilations and forks of a process."""
    overrides = [*STEPS, f"data.root={toy}", "name=run", "preset=fast", "trainer.max_steps=1"]
    command = [sys.executable, "-m", "deblurzoo", "train", *TINY, *overrides, "+trainer.limit_val_batches=0"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    checkpoint = torch.load(tmp_path / "runs/run/checkpoints/step_00000001.ckpt", weights_only=True)
    assert not any("_orig_mod" in key for key in checkpoint["state_dict"])
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["fused"]


@pytest.mark.processes
def test_python_m_is_the_same_program(environment: dict[str, str], toy: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "deblurzoo.commands.train",
        *TINY,
        "trainer.max_steps=1",
        f"data.root={toy}",
        "name=run",
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "run" / "checkpoints" / "step_00000001.ckpt").is_file()


def test_tensorboard_on_a_switch(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    train(deblurzoo, toy, "logger=tensorboard")
    assert list((tmp_path / "runs" / "run" / "tensorboard").rglob("events.out.tfevents.*"))
    assert (tmp_path / "runs" / "run" / "csv" / "version_0" / "metrics.csv").is_file()


EARLY = ["+callbacks.early._target_=pytorch_lightning.callbacks.EarlyStopping", "+callbacks.early.monitor=val/psnr",
         "+callbacks.early.mode=max", "+callbacks.early.stopping_threshold=0"]  # fmt: skip


def test_whatever_ends_training_saves_the_last_step_and_says_so(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    averaged = ["callbacks=ema", "callbacks.ema.decay=0.5"]
    out = train(deblurzoo, toy, *EARLY, *averaged, "callbacks.checkpoints.every=100")
    assert (
        "ended at step 2 of 4 (EarlyStopping on val/psnr; resume=auto resumes training). Next: deblurzoo evaluate"
        in out
    )
    (checkpoint,) = (tmp_path / "runs/run/checkpoints").iterdir()
    content = torch.load(checkpoint, weights_only=True)
    assert (checkpoint.name, content["global_step"]) == ("step_00000002.ckpt", 2)
    averages, weights = content["state_dict"], content["current_model_state"]
    assert any(not torch.equal(averages[name], weights[name]) for name in weights)

    out = train(deblurzoo, toy, *averaged, "resume=auto", "+trainer.max_time=0:00:00:00")
    assert "ended at step 2 of 4 (time limit reached; resume=auto resumes training)" in out
    out = train(deblurzoo, toy, *averaged, "resume=auto")
    assert "done. Next: deblurzoo evaluate checkpoint=runs/run" in out
    assert checkpoint.with_name("step_00000004.ckpt").is_file()
