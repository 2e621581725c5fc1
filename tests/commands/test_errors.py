"""Invalid inputs: one clear message, a nonzero exit code, no partial files."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conftest import SHORT, TINY, Run
from verbs import refused


def checkpoints(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "runs" / "run").glob("checkpoints/*"))


def test_missing_root(deblurzoo: Run, tmp_path: Path) -> None:
    done = deblurzoo("train", *SHORT, "data=gopro", "data.blur=blur", "data.root=/nowhere")
    refused(done, "error: data.root=/nowhere is not a folder: set data.root to a folder with train/CLIP/{blur,sharp}")
    assert checkpoints(tmp_path) == []


def test_root_and_blur_must_be_said(deblurzoo: Run) -> None:
    refused(deblurzoo("train", *SHORT, "experiment=srn_gopro"), "data.root is not set: set data.root=FOLDER")
    refused(deblurzoo("train", *SHORT, "data=gopro", "data.root=/x"), "data.blur is not set")


def test_empty_split(deblurzoo: Run, copy: Path) -> None:
    shutil.rmtree(copy / "train")
    (copy / "train").mkdir()
    refused(deblurzoo("train", *SHORT, f"data.root={copy}"), "the train split of toy has no frames")


@pytest.mark.parametrize("workers", [0, 1])
def test_truncated_png(deblurzoo: Run, copy: Path, workers: int) -> None:
    for path in copy.glob("train/*/blur/*.png"):
        path.write_bytes(path.read_bytes()[:200])
    done = deblurzoo("train", *SHORT, f"data.root={copy}", f"datamodule.workers={workers}")
    refused(done, ".png cannot be read (", "`deblurzoo data check` finds all such files")
    assert done.stderr.count("cannot be read") == 1


def test_truncated_png_during_evaluation_leaves_no_results(deblurzoo: Run, copy: Path, tmp_path: Path) -> None:
    assert deblurzoo("train", *SHORT, f"data.root={copy}").returncode == 0
    path = next(copy.glob("test/*/sharp/000002.png"))
    path.write_bytes(path.read_bytes()[:200])
    done = deblurzoo("evaluate", "checkpoint=runs/run", "data=toy", f"data.root={copy}", "out=out")
    refused(done, f"error: {path} cannot be read")
    assert not (tmp_path / "out" / "results.json").exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_checkpoint_of_another_network(deblurzoo: Run, run: Path, toy: Path, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in (tmp_path / "runs/run/checkpoints").iterdir()}
    done = deblurzoo("train", *SHORT, f"data.root={toy}", "resume=auto", "model.net.width=0.25", "trainer.max_steps=5")
    refused(done, "is a checkpoint of a different network or run (width: 0.125 in the checkpoint, 0.25 in the config)")
    assert {p: p.read_bytes() for p in (tmp_path / "runs/run/checkpoints").iterdir()} == before


class Bomb:
    """A pickle that would create a file."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("bomb"),)  # type: ignore[return-value]


def test_files_that_are_no_checkpoints_of_ours(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    def evaluate(path: str) -> object:
        return deblurzoo("evaluate", f"checkpoint={path}", "data=toy", f"data.root={toy}")

    refused(evaluate("nothing.ckpt"), "checkpoint nothing.ckpt does not exist")
    (tmp_path / "empty").mkdir()
    refused(evaluate("empty"), "error: empty has no checkpoints/step_*.ckpt")
    (tmp_path / "noise.ckpt").write_bytes(b"noise" * 100)
    (tmp_path / "srv.py").write_text("import socket\n")
    (tmp_path / "text.cff").write_text("cff-version: 1\nmessage: x\n")  # pickle reads c as a command
    for name in ("noise.ckpt", "srv.py", "text.cff"):
        done = evaluate(name)
        refused(done, f"checkpoint {name} cannot be read (the file is corrupt, or is not a file of torch): give")
        assert "weights_only" not in done.stderr
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    refused(evaluate("other.ckpt"), "other.ckpt is not a checkpoint of deblurzoo")
    torch.save({"x": Bomb()}, tmp_path / "bomb.ckpt")
    refused(evaluate("bomb.ckpt"), "checkpoint bomb.ckpt cannot be read (loading it would call __builtin__.getattr)")
    assert not (tmp_path / "bomb").exists()


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_evaluation_without_a_checkpoint(sweep: list[str], deblurzoo: Run, toy: Path) -> None:
    done = deblurzoo("evaluate", *sweep, "data=toy", f"data.root={toy}")
    refused(done, "error: checkpoint is not set: give checkpoint=RUN_FOLDER")


def test_equal_folders_have_nothing_to_restore(deblurzoo: Run, run: Path, toy: Path, tmp_path: Path) -> None:
    sharp = toy / "test" / "TOY_test_000" / "sharp"
    done = deblurzoo(
        "evaluate", "checkpoint=runs/run", "data=folder", f"data.test.blur={sharp}", f"data.test.sharp={sharp}"
    )
    refused(done, "nothing to restore, the blurry and the sharp image are identical in all 3 pairs")
    assert not list(tmp_path.rglob("results.json"))


def test_resuming_on_another_blur_is_refused(deblurzoo: Run, run: Path, toy: Path, tmp_path: Path) -> None:
    config = (tmp_path / "runs" / "run" / "config.yaml").read_text()
    longer = [*SHORT, f"data.root={toy}", "trainer.max_steps=5", "resume=auto"]
    refused(deblurzoo("train", *longer, "data.blur=blur_gamma"), "data.blur: blur in the checkpoint, blur_gamma")
    refused(deblurzoo("train", *longer, "callbacks=ema"), "callbacks.ema: False in the checkpoint, True in the config")
    refused(deblurzoo("train", *longer, "data.root=/nowhere"), "data.root=/nowhere is not a folder")
    assert (tmp_path / "runs" / "run" / "config.yaml").read_text() == config


def test_validation_pairs_that_are_all_equal_are_told_before_training(
    deblurzoo: Run, copy: Path, tmp_path: Path
) -> None:
    for path in copy.glob("test/*/sharp/*.png"):
        shutil.copy(path, path.parents[1] / "blur" / path.name)
    refused(deblurzoo("train", *SHORT, f"data.root={copy}"), "there is nothing to restore: in all 2 validation pairs")
    assert not list(tmp_path.rglob("config.yaml"))


def test_truncated_checkpoint(deblurzoo: Run, run: Path, toy: Path, tmp_path: Path) -> None:
    path = tmp_path / "runs/run/checkpoints/step_00000003.ckpt"
    path.write_bytes(path.read_bytes()[:5000])
    for ckpt in ("runs/run", path):
        refused(
            deblurzoo("evaluate", f"checkpoint={ckpt}", "data=toy", f"data.root={toy}"),
            f"{path.name} cannot be read (the file is corrupt",
        )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "trainer.max_steps=abc",
            "error: the config is invalid (trainer.max_steps=abc: Input should be a valid integer): see conf/",
        ),
        ("seed=x", "error: the config is invalid (seed=x: Input should be a valid integer)"),
        ("seed=-1", "seed=-1: Input should be greater than or equal to 0"),
        ("model.net.width=-1", "error: model.net: blocks=1 and width=-1.0 must be above 0"),
        ("model.optimizer.lr=-1", "error: model.optimizer or model.schedule is invalid: Invalid learning rate"),
        ("model.optimizer.lr=fast", "model.optimizer.lr=fast: Input should be a valid number"),
        (
            "model.schedule.name=linear",
            "model.schedule.name=linear: Value error, linear is not a schedule: choose one of polynomial",
        ),
        ("model.schedule.steps=0", "model.schedule.steps=0: Input should be greater than 0"),
        ("model.schedule.warmup=-3", "model.schedule.warmup=-3: Input should be greater than or equal to 0"),
        ("model.schedule.end=-1", "model.schedule.end=-1: Input should be greater than or equal to 0"),
        ("model.schedule.power=nan", "model.schedule.power=nan: Input should be a finite number"),
        ("+model.schedule.stepz=3", "model.schedule.stepz=3: Extra inputs are not permitted"),
        ("model.loss={mse:0}", "model.loss.mse=0: Input should be greater than 0"),
        ("model.loss={}", "model.loss: Dictionary should have at least 1 item"),
        (
            "datamodule.batch_size=0",
            "error: datamodule.batch_size=0 is invalid for DeblurDataModule: Input should be greater than 0",
        ),
        ("datamodule.workers=-1", "error: datamodule.workers=-1 is invalid for DeblurDataModule: Input should be"),
        ("datamodule.augmentation.zoom=[0,1]", "error: datamodule.augmentation.zoom.0=0 is invalid for"),
        ("datamodule.augmentation.zoom=0.5", "error: datamodule.augmentation.zoom=0.5 is invalid for"),
        ("datamodule.augmentation.zoom=[1.0,0.5]", "the first number must not exceed the second"),
        (
            "datamodule.augmentation.crop=abc",
            "error: datamodule.augmentation.crop=abc is invalid for DeblurDataModule: Input should be a valid integer",
        ),
        ("datamodule.augmentation.crop=30", "error: datamodule.augmentation.crop=30 must be a multiple of 16"),
        (
            "callbacks.checkpoints.every=0",
            "error: callbacks.checkpoints.every=0 is invalid for StepCheckpoints: Input should be greater than 0",
        ),
        ("trainer.precision=bf17", "error: trainer.precision=bf17 is not supported: choose one of auto, 32-true"),
        ("trainer.precision=bf16-true", "error: trainer.precision=bf16-true is not supported"),
        ("trainer.precision=16-mixed", "error: trainer.precision=16-mixed requires a GPU"),
        ("resume=nothing.ckpt", "error: checkpoint nothing.ckpt does not exist"),
        (
            "+trainer.max_epochs=1",
            "error: trainer.max_epochs=1 is not supported, because training is counted in steps: set",
        ),
        ("+trainer.min_epochs=1", "error: trainer.min_epochs=1 is not supported"),
        ("+trainer.limit_train_batches=2", "error: trainer.limit_train_batches=2 is not supported"),
        ("+trainer.limit_val_batches=1", "error: trainer.limit_val_batches=1 is not supported, because training"),
        ("+trainer.overfit_batches=1", "error: trainer.overfit_batches=1 is not supported"),
        ("+trainer.fast_dev_run=true", "error: trainer.fast_dev_run=True is not supported"),
        ("trainer.check_val_every_n_epoch=1", "error: trainer.check_val_every_n_epoch=1 is not supported"),
        ("+trainer.reload_dataloaders_every_n_epochs=1", "error: trainer.reload_dataloaders_every_n_epochs=1 is not"),
        ("trainer.use_distributed_sampler=true", "error: trainer.use_distributed_sampler=True is not supported"),
        ("trainer.enable_checkpointing=false", "error: trainer.enable_checkpointing=False is not supported"),
        ("~callbacks.checkpoints", "error: callbacks.checkpoints is missing, so nothing would be saved: keep this"),
        ("callbacks.checkpoints=null", "error: callbacks.checkpoints is missing"),
        ("+trainer.max_time=00:00:00:00", "error: training ended at step 0 of 3 (time limit reached) without a"),
        ("data.blur=linear", "error: data.blur=linear is not a blur folder of toy: choose blur or blur_gamma"),
    ],
)
def test_wrong_value(deblurzoo: Run, toy: Path, tmp_path: Path, override: str, message: str) -> None:
    refused(deblurzoo("train", *SHORT, f"data.root={toy}", override), message)
    assert checkpoints(tmp_path) == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.net.widht=0.5", "Could not override 'model.net.widht'"),
        ("trainer.max_step=5", "Could not override 'trainer.max_step'"),
        ("experiment=srn_gorpo", "Could not find 'experiment/srn_gorpo'"),
        ("+model.net.widht=0.5", "model.net.widht is not an argument of SRN, which has kernel_size, "),
        (
            "+datamodule.augmentation.rotate=true",
            "datamodule.augmentation.rotate=true is invalid for DeblurDataModule: Unexpected keyword argument",
        ),
        ("+data.gamma=true", "data.gamma is not an argument of Toy, which has root, "),
    ],
)
def test_unknown_key(deblurzoo: Run, toy: Path, override: str, message: str) -> None:
    refused(deblurzoo("train", *SHORT, f"data.root={toy}", override), message)


def test_nan_loss_names_step_and_clips_and_keeps_the_last_good_checkpoint(
    deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    overrides = ["model.optimizer.lr=1e20", "model.schedule.steps=1000", "callbacks.checkpoints.every=1"]
    done = deblurzoo("train", *SHORT, f"data.root={toy}", *overrides)
    refused(done, "error: the loss is ", "at step ", "the batch was TOY_train_00", "model.optimizer.lr")
    step = int(done.stderr.partition("at step ")[2].partition(";")[0])
    assert checkpoints(tmp_path)[-1] == f"step_{step:08d}.ckpt"


def test_crop_larger_than_the_pictures(deblurzoo: Run, toy: Path) -> None:
    done = deblurzoo("train", *SHORT, f"data.root={toy}", "datamodule.augmentation.crop=256")
    refused(done, "too small for datamodule.augmentation.crop=256")


@pytest.mark.parametrize("devices", ["free:0", "free:2,1", "x"])
def test_unknown_devices_of_a_sweep(devices: str, deblurzoo: Run, toy: Path) -> None:
    done = deblurzoo("train", "-m", *SHORT, f"data.root={toy}", f"trainer.devices='{devices}'")
    refused(done, f"error: trainer.devices={devices}")


@pytest.mark.parametrize("devices", ["Free", "free2", "[0]", "-1", "0"])
def test_unknown_devices_of_a_run(devices: str, deblurzoo: Run, toy: Path) -> None:
    done = deblurzoo("train", *SHORT, f"data.root={toy}", f"trainer.devices={devices}")
    refused(done, f"error: trainer.devices={devices}: ", ": set a number of devices, auto, free or free:N")
    assert "trainer._target_" not in done.stderr


def test_unknown_verb_and_help(deblurzoo: Run) -> None:
    done = deblurzoo("trian")
    assert done.returncode == 2 and "unknown command trian" in done.stderr and "deblurzoo train" in done.stderr
    assert "usage: deblurzoo" in deblurzoo("--help").stdout
    assert deblurzoo("data", "--help").stdout == deblurzoo("--help").stdout
    assert "--train-clips N  default: 240" in deblurzoo("data", "toy", "--help").stdout
    assert deblurzoo("--version").stdout.startswith("deblurzoo 0.")
    for verb in (["train"], ["evaluate"], ["data", "check"]):
        helped = deblurzoo(*verb, "--help")
        assert helped.returncode == 0, helped.stderr
        assert (
            "data: bsd_1ms8ms, bsd_2ms16ms" in helped.stdout and "realblur_r, reds, synthesized, toy" in helped.stdout
        )
    missing = deblurzoo("compare", "nothing")
    assert missing.returncode == 1 and "error: nothing has no results.json" in missing.stderr


def test_toy_data_never_overwrites(deblurzoo: Run, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    done = deblurzoo("data", "toy", "--out", "precious")
    assert done.returncode == 1 and "error: --out precious exists already" in done.stderr


def test_shadowed_config_is_warned_of(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "srn_toy.yaml").write_text("# @package _global_\nname: mine\n")
    done = deblurzoo("train", "--config-dir", "mine", *SHORT, f"data.root={toy}", "experiment=srn_toy", "logger=csv")
    assert done.returncode == 0, done.stderr
    assert "srn_toy.yaml has no effect: deblurzoo ships a config of the same name" in done.stdout + done.stderr


@pytest.mark.parametrize("part", ["optimizer_states", "loops", "callbacks"])
def test_checkpoints_whose_state_is_damaged(deblurzoo: Run, run: Path, toy: Path, tmp_path: Path, part: str) -> None:
    checkpoint = torch.load(tmp_path / "runs/run/checkpoints/step_00000003.ckpt", weights_only=True)
    torch.save({**checkpoint, part: [5]}, tmp_path / "odd.ckpt")
    arguments = [*TINY, "name=other", "trainer.max_steps=4", f"data.root={toy}", "resume=odd.ckpt"]
    refused(deblurzoo("train", *arguments), "error: training cannot resume from odd.ckpt (", "checkpoint is corrupt")


@pytest.mark.processes
def test_what_cannot_be_compiled_is_said_first(toy: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """In a separate process: once compiled, the compiler is not called again."""
    fast = [sys.executable, "-m", "deblurzoo", "train", *SHORT, f"data.root={toy}", "preset=fast"]
    without = {**environment, "CXX": "/nowhere/c++"}
    done = subprocess.run(fast, cwd=tmp_path, env=without, capture_output=True, text=True, timeout=300)
    refused(done, "error: compile=true: torch.compile does not work here (", "compile=false")
    assert not (tmp_path / "runs/run/config.yaml").exists()


def test_what_cannot_be_clipped_is_said_first(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    fused = ["train", *SHORT, f"data.root={toy}", "preset=fast", "compile=false"]
    clipped = deblurzoo(*fused, "trainer.precision=bf16-mixed", "+trainer.gradient_clip_val=1")
    refused(clipped, "a fused optimiser in bf16-mixed does not support trainer.gradient_clip_val=1")
    assert not (tmp_path / "runs/run/config.yaml").exists()


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("model.net.width", "xx", "SRN: Input should be a valid number"),
        ("model.net.blocks", "1.5", "SRN: Input should be a valid integer"),
        ("model.net.residual", "maybe", "SRN: Input should be a valid boolean"),
        ("datamodule.augmentation.crop", "big", "DeblurDataModule: Input should be a valid integer"),
    ],
)
def test_values_of_a_wrong_type_are_reported_with_their_key(
    deblurzoo: Run, toy: Path, tmp_path: Path, key: str, value: str, wanted: str
) -> None:
    done = deblurzoo("train", *SHORT, f"data.root={toy}", f"{key}={value}")
    refused(done, f"error: {key}={value} is invalid for {wanted}")
    assert checkpoints(tmp_path) == []
