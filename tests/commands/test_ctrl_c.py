"""Ctrl-C, SIGTERM and the end of a terminal: one line with the completed work, an exit code, no incomplete file."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from commands.test_resume import ARGUMENTS, NAMES, assert_equal_to_the_bit, final
from commands.test_sweep import SWEEP_EXPERIMENT, state
from conftest import Run, Start, wait_for
from deblurzoo.restore.inputs import RECORD
from verbs import Process
from videos import moving, write_video

RESULTS = Path(__file__).parents[1] / "fixtures/v0.1/runs/srn/evaluate/toy_blur_common2/results.json"


def interrupted(process: Process, when: Callable[[], object], number: int = signal.SIGINT) -> str:
    """Send a signal to the process and its workers, as Ctrl-C does, once `when` is true; return the printed line."""
    wait_for(when, process)
    os.killpg(process.pid, number)
    done = process.result(timeout=120)
    assert done.returncode == 128 + number, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert [line.partition(":")[0] for line in lines] == ["interrupted"], done.stderr
    return lines[0].removeprefix("interrupted: ")


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.tmp"))


@pytest.mark.parametrize("workers", [0, 1])
def test_training_saves_the_step_and_resumes_to_the_bit(
    workers: int, start: Start, process: Run, toy: Path, tmp_path: Path
) -> None:
    """With a moving average, accumulation and clipping."""
    more = ["trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.05", f"datamodule.workers={workers}"]
    arguments = ["train", *ARGUMENTS, *more, "trainer.max_steps=30", f"data.root={toy}", "resume=auto"]
    assert process(*arguments, "name=whole").returncode == 0
    run = tmp_path / "runs" / "stopped"
    names = tmp_path / "names"  # written after each batch
    stopped = start(*arguments, *NAMES, "name=stopped", "callbacks.checkpoints.every=1000")
    line = interrupted(stopped, lambda: names.is_file() and len(names.read_text().splitlines()) >= 6)
    (step,) = (int(file.stem[5:]) for file in run.glob("checkpoints/*"))
    assert 1 <= step < 30
    assert line == f"runs/stopped is saved at step {step} of 30; the same command resumes it"
    done = process(*arguments, "name=stopped")
    assert done.returncode == 0, done.stderr
    assert_equal_to_the_bit(final(tmp_path / "runs" / "whole"), final(run))
    assert not leftovers(tmp_path)


def test_a_sweep_ends_saves_its_job_and_is_resumed(
    start: Start, process: Run, sweep: list[str], tmp_path: Path
) -> None:
    experiment = tmp_path / "conf" / "experiment" / "table.yaml"
    experiment.write_text(SWEEP_EXPERIMENT.replace("max_steps: 2", "max_steps: 5000"))
    arguments = [*sweep, "model.net.variant=no_rnns,full"]
    first = tmp_path / "runs" / "table" / "model.net.variant-no_rnns"
    line = interrupted(start(*arguments), lambda: list(first.glob("checkpoints/step_*.ckpt")))
    step = max(int(file.stem[5:]) for file in first.glob("checkpoints/step_*.ckpt"))
    assert line == f"runs/table/{first.name} is saved at step {step} of 5000; the same command resumes it"
    status = json.loads((first / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("failed", "interrupted")
    assert not list(first.with_name("model.net.variant-full").glob("checkpoints/*"))
    experiment.write_text(SWEEP_EXPERIMENT.replace("max_steps: 2", f"max_steps: {step + 1}"))
    done = process(*sweep, "model.net.variant=no_rnns")
    assert done.returncode == 0 and state(first) == "done", done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_evaluation_is_resumed(number: int, start: Start, process: Run, run: Path, tmp_path: Path) -> None:
    assert process("data", "toy", "--out", "long", "--train-clips", 1, "--test-clips", 4, "--frames", 10,
                   "--height", 48, "--width", 64).returncode == 0  # fmt: skip
    arguments = ["evaluate", f"checkpoint={run}", "data=toy", "data.root=long", "trainer=cpu", "no_harm=0"]
    rows = run / "evaluate" / ".toy_blur.unfinished" / "measured.jsonl"
    line = interrupted(start(*arguments), lambda: rows.is_file() and rows.stat().st_size, number)
    measured = len(rows.read_text().splitlines())
    assert 0 < measured < 40
    assert line == f"{measured} of 40 images of {run / 'evaluate' / 'toy_blur'} are measured; the same command resumes"
    done = process(*arguments)
    assert done.returncode == 0 and f"{measured} of 40 images are measured" in done.stdout, done.stderr
    assert json.loads((run / "evaluate" / "toy_blur" / "results.json").read_text())["frames"] == 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_restored_photos_are_kept(
    number: int, start: Start, process: Run, identity: Path, toy: Path, tmp_path: Path
) -> None:
    blurry = next((toy / "test").iterdir()) / "blur"
    for index in range(200):
        (tmp_path / "photos").mkdir(exist_ok=True)
        os.link(next(iter(sorted(blurry.iterdir()))), tmp_path / "photos" / f"{index:03d}.png")
    arguments = ["deblur", "photos", "--checkpoint", identity, "--out", "out"]
    out = tmp_path / "out"
    line = interrupted(start(*arguments), (out / RECORD).is_file, number)
    files = len(list(out.glob("*.png")))
    assert {file.name for file in out.iterdir() if file.suffix != ".png"} == {RECORD}  # no unfinished file
    assert 0 < files < 200
    # A photo may be complete before it is counted.
    told = {f"{n} of 200 files are restored; the same command without --overwrite restores the others" for n in
            (files - 1, files)}  # fmt: skip
    assert line in told
    done = process(*arguments)
    assert done.returncode == 0 and f"{files} of 200 files skipped" in done.stdout, done.stderr


def test_no_part_of_a_video_is_left(start: Start, identity: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", moving(300))
    process = start("deblur", "a.mp4", "--checkpoint", identity, "--out", "out", "--compare")
    interrupted(process, lambda: leftovers(tmp_path), signal.SIGTERM)
    assert not list((tmp_path / "out").iterdir())


def test_a_synthesis_is_resumed(start: Start, process: Run, toy: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    sharp = sorted((next((toy / "train").iterdir()) / "sharp").iterdir())
    for number in range(300):
        os.link(sharp[number % len(sharp)], frames / f"{number:06d}.png")
    arguments = ["synthesize", "frames", "--out", "made", "--frames", "3", "--workers", "1", "--gap", "0"]
    unfinished = tmp_path / ".made.unfinished"
    line = interrupted(start(*arguments), lambda: list(unfinished.rglob("sharp/*.png")))
    written = len(list(unfinished.rglob("sharp/*.png")))
    assert line == f"{written} of 100 pairs are written; the same command resumes" and written < 100
    assert not (tmp_path / "made").exists() and not leftovers(tmp_path)
    done = process(*arguments)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "made").rglob("sharp/*.png"))) == 100


def test_a_pack_is_resumed(start: Start, process: Run, tmp_path: Path) -> None:
    toys = ["--train-clips", 8, "--test-clips", 2, "--frames", 4, "--height", 200, "--width", 300]
    assert process("data", "toy", "--out", "toy", *toys).returncode == 0
    arguments = ["data", "pack", "data=toy", "data.root=toy", "out=packed"]
    line = interrupted(start(*arguments), lambda: list(tmp_path.glob("packed/**/*.npy")))
    assert line.endswith(" of 10 clips are packed in packed; the same command resumes")
    packed = int(line.split()[0])
    assert packed == len(json.loads((tmp_path / "packed" / "unfinished.json").read_text())["clips"]) < 10
    assert not leftovers(tmp_path)
    assert process(*arguments).returncode == 0
    assert len(json.loads((tmp_path / "packed" / "index.json").read_text())["clips"]) == 10


AGAIN = "no file is incomplete; run the same command again"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_toy_data_that_is_not_complete_is_removed(number: int, start: Start, process: Run, tmp_path: Path) -> None:
    unfinished = tmp_path / ".toy.unfinished"
    toys = ["data", "toy", "--out", "toy"]
    assert interrupted(start(*toys, "--frames", 5000), lambda: list(unfinished.rglob("*.png")), number) == AGAIN
    assert not unfinished.exists() and not (tmp_path / "toy").exists()
    small = ["--train-clips", 1, "--test-clips", 1, "--frames", 1, "--height", 32, "--width", 32]
    assert process(*toys, *small).returncode == 0


def test_a_comparison_is_run_again(start: Start, tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / "runs" / f"{number}" / "evaluate" / "toy_blur").mkdir(parents=True)
        shutil.copy(RESULTS, tmp_path / "runs" / f"{number}" / "evaluate" / "toy_blur")

    def is_read() -> bool:
        rchar = int(Path(f"/proc/{compared.pid}/io").read_text().split()[1])
        return rchar > 20 * RESULTS.stat().st_size

    compared = start("compare", "runs", "--csv", "table.csv", "--html", "page.html")
    assert interrupted(compared, is_read) == AGAIN
    assert not (tmp_path / "table.csv").exists() and not (tmp_path / "page.html").exists()
