"""A run that is killed and resumed ends with the same weights as an uninterrupted run."""

import csv
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import TINY, TINY_NETS, TINY_RUN, Run, Start, wait_for
from deblurzoo.commands.train import make_module
from deblurzoo.data import Toy
from deblurzoo.data.datamodule import TrainingCrops
from deblurzoo.data.transforms import Augmentation
from deblurzoo.nets.cost import macs
from deblurzoo.reports.run_folder import config_of
from deblurzoo.training.schedules import SCHEDULES, factor
from verbs import refused

ARGUMENTS = [*TINY, "callbacks=ema", "callbacks.ema.decay=0.9", "trainer.max_steps=60",
             "callbacks.checkpoints.every=5", "trainer.val_check_interval=20",
             "datamodule.augmentation.flip=true", "model.schedule.warmup=7"]  # fmt: skip


PARTS = ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "global_step")


def final(run: Path) -> dict[str, Any]:
    newest = max((run / "checkpoints").glob("step_*.ckpt"))
    checkpoint: dict[str, Any] = torch.load(newest, weights_only=True)
    return {part: checkpoint[part] for part in PARTS}


def assert_equal_to_the_bit(a: Any, b: Any, where: str = "") -> None:
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal_to_the_bit(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal_to_the_bit(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


WHOLE, HALF = "checkpoints/step_*.ckpt", "checkpoints/.*.tmp"


def start_and_kill(start: Start, arguments: list[str], run: Path, later: float = 0.0, file: str = WHOLE) -> None:
    """Start `deblurzoo train`, and kill it `later` seconds after a new file matches the pattern `file`."""
    known = set(run.glob(file))
    process = start(*arguments)
    wait_for(lambda: set(run.glob(file)) - known, process)
    time.sleep(later)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.processes), 1])
def test_sigkill_and_resume_is_equal_to_the_bit(
    workers: int, process: Run, start: Start, toy: Path, tmp_path: Path
) -> None:
    arguments = ["train", *ARGUMENTS, f"data.root={toy}", f"datamodule.workers={workers}"]
    done = process(*arguments, "name=whole")
    assert done.returncode == 0, done.stderr

    killed = tmp_path / "runs" / "killed"
    start_and_kill(start, [*arguments, "name=killed"], killed)
    steps = [int(path.stem[5:]) for path in killed.glob("checkpoints/step_*.ckpt")]
    assert 5 <= max(steps) < 60

    done = process(*arguments, "name=killed", "resume=auto")
    assert done.returncode == 0, done.stderr
    assert_equal_to_the_bit(final(tmp_path / "runs" / "whole"), final(killed))


OTHER_RECIPE = ["model.optimizer._target_=torch.optim.AdamW", "+model.optimizer.weight_decay=0.01",
                "model.schedule.name=cosine", "model.loss={charbonnier:1.0}"]  # fmt: skip


@pytest.mark.processes
def test_another_optimiser_schedule_and_loss_resume_to_the_bit(
    process: Run, start: Start, toy: Path, tmp_path: Path
) -> None:
    arguments = ["train", *ARGUMENTS, *OTHER_RECIPE, "trainer.max_steps=30", f"data.root={toy}"]
    assert process(*arguments, "name=whole").returncode == 0
    killed = tmp_path / "runs" / "killed"
    start_and_kill(start, [*arguments, "name=killed"], killed)
    done = process(*arguments, "name=killed", "resume=auto")
    assert done.returncode == 0, done.stderr
    assert_equal_to_the_bit(final(tmp_path / "runs" / "whole"), final(killed))


@pytest.mark.processes
def test_ten_kills_at_random_moments_change_no_bit(process: Run, start: Start, toy: Path, tmp_path: Path) -> None:
    """Half of the kills happen while a checkpoint is written, and at least one leaves it truncated."""
    arguments = ["train", *ARGUMENTS, f"data.root={toy}", "trainer.max_steps=300", "trainer.val_check_interval=300"]
    assert process(*arguments, "name=whole").returncode == 0

    killed, moments = tmp_path / "runs" / "killed", random.Random(0)
    often = [*arguments, "name=killed", "resume=auto", "callbacks.checkpoints.every=1"]
    cut = 0
    for _ in range(5):
        start_and_kill(start, often, killed, later=moments.uniform(0, 0.2))
        start_and_kill(start, often, killed, file=HALF)
        cut += len(list(killed.glob(HALF)))
    assert cut
    done = process(*often)
    assert done.returncode == 0, done.stderr
    assert not list(killed.glob("checkpoints/.*.tmp"))
    assert_equal_to_the_bit(final(tmp_path / "runs" / "whole"), final(killed))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_can_be_resumed(
    number: signal.Signals, start: Start, process: Run, toy: Path, tmp_path: Path
) -> None:
    arguments = ["train", *TINY, f"data.root={toy}", "name=run", "callbacks.checkpoints.every=5"]
    stopped = start(*arguments, "trainer.max_steps=100000")
    wait_for(lambda: list(tmp_path.glob("runs/run/checkpoints/step_*.ckpt")), stopped)
    stopped.send_signal(number)
    done = stopped.result(timeout=60)
    output = done.stdout + done.stderr
    step = max(int(path.stem[5:]) for path in tmp_path.glob("runs/run/checkpoints/step_*.ckpt"))
    if number == signal.SIGINT:
        assert done.returncode == 130, output
        assert done.stderr == f"interrupted: runs/run is saved at step {step} of 100000; resume=auto resumes it\n"
    else:
        assert done.returncode == 1, output
        assert "stopped by a signal at step" in output and "Traceback" not in output
    done = process(*arguments, f"trainer.max_steps={step + 1}", "resume=auto")
    assert done.returncode == 0, done.stderr


def test_finished_run_is_left_alone_and_a_larger_budget_goes_on(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    arguments = ["train", *TINY, f"data.root={toy}", "name=run"]
    assert deblurzoo(*arguments, "trainer.max_steps=2").returncode == 0
    checkpoint = tmp_path / "runs" / "run" / "checkpoints" / "step_00000002.ckpt"
    before = checkpoint.read_bytes()

    again = deblurzoo(*arguments, "trainer.max_steps=2", "resume=auto")
    assert again.returncode == 0 and "is finished at step 2" in again.stdout
    assert checkpoint.read_bytes() == before

    refused = deblurzoo(*arguments, "trainer.max_steps=2")
    assert refused.returncode == 1 and "already contains a run (step_00000002.ckpt): resume=auto" in refused.stderr
    assert checkpoint.read_bytes() == before

    longer = deblurzoo(*arguments, "trainer.max_steps=4", "resume=auto")
    assert longer.returncode == 0, longer.stderr
    assert checkpoint.with_name("step_00000004.ckpt").is_file()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_new_learning_rate_takes_effect_on_resuming(schedule: str, deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    arguments = ["train", *TINY, f"data.root={toy}", "name=run", f"model.schedule.name={schedule}"]
    assert deblurzoo(*arguments, "trainer.max_steps=2").returncode == 0
    done = deblurzoo(*arguments, "trainer.max_steps=3", "model.optimizer.lr=0.5", "resume=auto")
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "runs" / "run" / "csv" / "version_1" / "metrics.csv").read_text().splitlines()
    rate = float(dict(zip(rows[0].split(","), rows[1].split(","), strict=True))["train/lr"])
    assert rate == pytest.approx(0.5 * factor(2, schedule, 3, power=2))


def test_another_optimiser_is_another_run(deblurzoo: Run, run: Path, toy: Path) -> None:
    arguments = ["train", *TINY, f"data.root={toy}", "name=run", "trainer.max_steps=4", "resume=auto"]
    done = deblurzoo(*arguments, "model.optimizer={_target_:torch.optim.SGD,lr:0.1}")
    refused(done, "model.optimizer: torch.optim.Adam in the checkpoint, torch.optim.SGD in the config")


def test_a_checkpoint_without_an_argument_has_its_default_value(deblurzoo: Run, run: Path, toy: Path) -> None:
    (newest,) = (run / "checkpoints").glob("step_00000003.ckpt")
    content = torch.load(newest, weights_only=True)
    del content["hyper_parameters"]["net"]["padding"], content["hyper_parameters"]["luminance"]
    torch.save(content, newest)
    arguments = ["train", *TINY, f"data.root={toy}", "name=run", "trainer.max_steps=4", "resume=auto"]
    refused(
        deblurzoo(*arguments, "model.net.padding=same"), "(padding: symmetric in the checkpoint, same in the config)"
    )
    done = deblurzoo(*arguments)
    assert done.returncode == 0, done.stderr
    assert (run / "checkpoints" / "step_00000004.ckpt").is_file()


def test_another_learning_rate_of_biases_is_another_run(deblurzoo: Run, toy: Path) -> None:
    arguments = ["train", *TINY_RUN, "model=svrnn", *TINY_NETS["svrnn"], f"data.root={toy}", "name=run"]
    assert deblurzoo(*arguments, "trainer.max_steps=1").returncode == 0
    done = deblurzoo(*arguments, "trainer.max_steps=2", "resume=auto", "model.bias_rate=2")
    refused(done, "model.bias_rate: 1.0 in the checkpoint, 2.0 in the config")


def test_an_optimiser_that_lacks_its_state_is_told(deblurzoo: Run, run: Path, toy: Path) -> None:
    arguments = ["train", *TINY, f"data.root={toy}", "name=run", "trainer.max_steps=4", "resume=auto"]
    refused(deblurzoo(*arguments, "+model.optimizer.amsgrad=true"), "the optimiser step failed (KeyError(")


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("torch.optim.Adma", "torch.optim.Adma cannot be imported ("),
        ("torch.nn.Conv2d", "torch.nn.Conv2d is not a torch.optim.optimizer.Optimizer"),
        ("os.system", "os.system is not a torch.optim.optimizer.Optimizer"),
    ],
)
def test_a_name_that_is_no_optimiser_is_refused(optimizer: str, message: str, deblurzoo: Run, toy: Path) -> None:
    refused(deblurzoo("train", *TINY, f"data.root={toy}", f"model.optimizer._target_={optimizer}"), message)


def test_resume_from_a_path_starts_a_run_of_another_name(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    arguments = ["train", *TINY, f"data.root={toy}"]
    assert deblurzoo(*arguments, "name=one", "trainer.max_steps=2").returncode == 0
    path = "runs/one/checkpoints/step_00000002.ckpt"
    done = deblurzoo(*arguments, "name=two", "trainer.max_steps=3", f"resume={path}")
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "runs/two/checkpoints/step_00000003.ckpt", weights_only=True)["global_step"] == 3


def test_resume_takes_a_run_folder_and_its_newest_sound_checkpoint(
    deblurzoo: Run, run: Path, toy: Path, tmp_path: Path
) -> None:
    (run / "checkpoints/step_00000009.ckpt").write_bytes(b"damaged")
    done = deblurzoo("train", *TINY, f"data.root={toy}", "name=two", "trainer.max_steps=4", "resume=runs/run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/two/checkpoints/step_00000004.ckpt").is_file()


@pytest.mark.parametrize("there", [True, False])
def test_resume_takes_the_folder_of_the_run_itself(there: bool, deblurzoo: Run, run: Path, toy: Path) -> None:
    if not there:
        shutil.rmtree(run)
    done = deblurzoo("train", *TINY, f"data.root={toy}", "name=run", "trainer.max_steps=4", f"resume={run}")
    assert done.returncode == 0, done.stderr
    assert (run / "checkpoints/step_00000004.ckpt").is_file()


@pytest.mark.parametrize("form", ["export", "export/model.safetensors"])
def test_an_export_is_refused_with_what_can_be_done_with_it(
    form: str, deblurzoo: Run, run: Path, toy: Path, tmp_path: Path
) -> None:
    assert deblurzoo("export", "--checkpoint", run, "--out", "export").returncode == 0
    done = deblurzoo("train", *TINY, f"data.root={toy}", "name=two", f"resume={form}")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"error: resume={form} is an export, which has only the weights: init={form} starts" in done.stderr
    assert not (tmp_path / "runs/two/config.yaml").exists()


def test_a_run_without_a_checkpoint_keeps_its_identity(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    arguments = ["train", *TINY, f"data.root={toy}", "name=run", "trainer.max_steps=1", "resume=auto"]
    assert deblurzoo(*arguments).returncode == 0
    identity = (tmp_path / "runs" / "run" / "run.json").read_text()
    (tmp_path / "runs" / "run" / "checkpoints" / "step_00000001.ckpt").unlink()
    assert deblurzoo(*arguments).returncode == 0
    assert (tmp_path / "runs" / "run" / "run.json").read_text() == identity


NAMES = ["+callbacks.names._target_=spies.SampleNames", "+callbacks.names.file=names"]
STOP = ["+callbacks.stop._target_=spies.Stop", "+callbacks.stop.batches=6"]


def sample_names(toy: Path, count: int) -> list[str]:
    """Return the clips and frames of the first samples of a run with seed 0."""
    crops = TrainingCrops(Toy(str(toy), "blur").samples("train", 1), Augmentation(crop=16), seed=0)
    samples = [crops.samples[crops.order[number]] for number in range(count)]
    return [f"{sample.clip} {sample.frame}" for sample in samples]


def logged(run: Path, column: str) -> list[int]:
    """Return the steps, from 0, of the rows of a run's newest metrics.csv with a value in a column."""
    with max(run.glob("csv/*/metrics.csv")).open() as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row[column]]


@pytest.mark.parametrize("by_signal", [pytest.param(True, marks=pytest.mark.processes), False])
def test_a_run_that_stops_within_an_accumulation_goes_on_with_its_first_batch(
    by_signal: bool, process: Run, toy: Path, tmp_path: Path
) -> None:
    arguments = ["train", *ARGUMENTS, *NAMES, f"data.root={toy}", "trainer.accumulate_grad_batches=4"]
    arguments += ["trainer.max_steps=4", "trainer.val_check_interval=2", "trainer.log_every_n_steps=1"]
    runs, names = tmp_path / "runs", tmp_path / "names"
    assert process(*arguments, "name=whole").returncode == 0
    assert names.read_text().splitlines() == sample_names(toy, 32)
    assert logged(runs / "whole", "train/loss") == [0, 1, 2, 3]
    assert logged(runs / "whole", "val/psnr") == [1, 3]

    names.unlink()
    stopped = process(*arguments, *STOP, f"+callbacks.stop.by_signal={by_signal}", "name=stopped")
    assert stopped.returncode == by_signal, stopped.stderr
    assert [path.name for path in runs.glob("stopped/checkpoints/*")] == ["step_00000001.ckpt"]
    done = process(*arguments, "name=stopped", "resume=auto")
    assert done.returncode == 0, done.stderr
    assert names.read_text().splitlines() == [*sample_names(toy, 12), *sample_names(toy, 32)[8:]]
    assert logged(runs / "stopped", "train/loss") == [1, 2, 3]
    assert logged(runs / "stopped", "val/psnr") == [1, 3]
    assert_equal_to_the_bit(final(runs / "whole"), final(runs / "stopped"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("trainer.accumulate_grad_batches=4", 8), ("trainer.accumulate_grad_batches=2", 4)),
        (("trainer.accumulate_grad_batches=1", 2), ("trainer.accumulate_grad_batches=4", 8)),
        (("datamodule.batch_size=2", 2), ("datamodule.batch_size=3", 3)),
    ],
)
def test_a_run_that_goes_on_with_steps_of_another_size_goes_on_with_the_next_sample(
    before: tuple[str, int], after: tuple[str, int], deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    arguments = ["train", *TINY, *NAMES, f"data.root={toy}", "name=run", "resume=auto"]
    assert deblurzoo(*arguments, before[0], "trainer.max_steps=2").returncode == 0
    for steps in (3, 4):
        done = deblurzoo(*arguments, after[0], f"trainer.max_steps={steps}")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "names").read_text().splitlines() == sample_names(toy, 2 * before[1] + 2 * after[1])
    rows = [row for file in sorted(tmp_path.glob("runs/run/csv/*/metrics.csv")) for row in csv.DictReader(file.open())]
    module = make_module(config_of(tmp_path / "runs" / "run", "").content["model"])
    tflop = macs(module.net, (16, 16)) * np.array([2 * before[1] + steps * after[1] for steps in (1, 2)]) / 1e12
    assert [float(row["train/tflop"]) for row in rows if row["train/tflop"]][-2:] == pytest.approx(tflop)


def test_a_mixture_resumes_to_the_bit_in_the_middle(deblurzoo: Run, toy: Path, dvd: Path, tmp_path: Path) -> None:
    data = ["data=mix", "data.weights={toy: 0.65, dvd: 0.35}", f"data.toy.root={toy}", f"data.dvd.root={dvd}"]
    arguments = ["train", *ARGUMENTS, *NAMES, *data, "blur=blur", "trainer.max_steps=12"]
    names, runs = tmp_path / "names", tmp_path / "runs"
    assert deblurzoo(*arguments, "name=whole").returncode == 0
    drawn = names.read_text().splitlines()
    assert {name.partition("_")[0] for name in drawn} == {"toy", "dvd"}

    names.unlink()
    assert deblurzoo(*arguments, *STOP, "+callbacks.stop.by_signal=False", "name=stopped").returncode == 0
    assert names.read_text().splitlines() == drawn[:12]
    done = deblurzoo(*arguments, "name=stopped", "resume=auto", "datamodule.workers=0")
    assert done.returncode == 0, done.stderr
    assert names.read_text().splitlines() == drawn
    assert_equal_to_the_bit(final(runs / "whole"), final(runs / "stopped"))


def test_an_epoch_that_ends_early_is_followed_by_the_next_samples(deblurzoo: Run, toy: Path, tmp_path: Path) -> None:
    arguments = ["train", *TINY, *NAMES, f"data.root={toy}", "name=run", "model._target_=spies.ShortEpochs"]
    done = deblurzoo(*arguments, "trainer.max_steps=5")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "names").read_text().splitlines() == sample_names(toy, 10)


def test_a_checkpoint_without_steps_left_starts_no_run_of_another_name(
    deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    arguments = ["train", *TINY, f"data.root={toy}", "trainer.max_steps=1"]
    assert deblurzoo(*arguments, "name=one").returncode == 0
    done = deblurzoo(*arguments, "name=two", "resume=runs/one/checkpoints/step_00000001.ckpt")
    assert done.returncode == 1
    assert "step_00000001.ckpt is already at step 1: set a larger trainer.max_steps" in done.stderr


PHOTOS = ["data=photos", "data.root=photos", "data.length=[3,8]", "data.test.exposures=1"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_on_photos_resumes_to_the_bit(workers: int, deblurzoo: Run, photos: Path, tmp_path: Path) -> None:
    arguments = ["train", *TINY, *PHOTOS, f"datamodule.workers={workers}", "trainer.max_steps=6"]
    assert deblurzoo(*arguments, "name=whole").returncode == 0
    stopped = deblurzoo(*arguments, STOP[0], "+callbacks.stop.batches=4", "+callbacks.stop.by_signal=false", "name=cut")
    assert stopped.returncode == 0, stopped.stderr
    assert [path.name for path in tmp_path.glob("runs/cut/checkpoints/*")] == ["step_00000004.ckpt"]
    done = deblurzoo(*arguments, "name=cut", "resume=auto")
    assert done.returncode == 0, done.stderr
    files = (tmp_path / f"runs/{name}/checkpoints/step_00000006.ckpt" for name in ("whole", "cut"))
    whole, cut = (torch.load(file, weights_only=True) for file in files)
    for part in ("state_dict", "optimizer_states", "global_step"):
        assert_equal_to_the_bit(whole[part], cut[part])
