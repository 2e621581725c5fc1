"""W&B without an account: recorded offline, reported once, one run per id."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from commands.wandb_server import serving
from conftest import TINY, Run, Start, wait_for
from deblurzoo.metrics import METRICS
from deblurzoo.reports.artifacts import harmless
from verbs import refused

WANDB = Path(sys.executable).with_name("wandb")


def records(folder: Path) -> list[dict]:
    """Return the records of the offline run in a folder."""
    (file,) = folder.glob("*.wandb")
    done = subprocess.run([WANDB, "leet", "inspect", "--json", file], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def definitions(records: list[dict]) -> dict[str, dict]:
    """Return a run's definitions of metrics, by name or pattern."""
    metrics = [record["metric"] for record in records if record["type"] == "metric"]
    return {metric.get("name") or metric["glob_name"]: metric for metric in metrics}


def history(records: list[dict]) -> list[dict]:
    """Return a run's logged values, one item per call."""
    return [record["history"]["item"] for record in records if record["type"] == "history"]


def summary(records: list[dict]) -> dict[str, object]:
    """Return the last values of a run's summary."""
    updates = [record["summary"]["update"] for record in records if record["type"] == "summary"]
    return {key: value for update in updates for key, value in update.items()}


def assert_charts_over_steps(records: list[dict], steps: set[int]) -> None:
    """Assert that the step is the axis of all charts, and that the run has logged these steps."""
    defined = definitions(records)
    assert defined.keys() == {"trainer/global_step", "*", "val/gain", *(f"val/{name}" for name in METRICS)}
    for key, metric in defined.items():
        assert key == "trainer/global_step" or metric["step_metric"] == "trainer/global_step", key
        assert metric.get("summary") == ({"last": True, "max": True} if key.startswith("val/") else None), key
    assert {item["trainer/global_step"] for item in history(records)} == steps


def test_offline_run_is_recorded_and_continued(process: Run, toy: Path, tmp_path: Path) -> None:
    arguments = [*TINY, f"data.root={toy}", "logger=wandb", "name=run", "group=table", "tags=[toy]",
                 "trainer.val_check_interval=2", "trainer.log_every_n_steps=1"]  # fmt: skip
    done = process("train", *arguments, "trainer.max_steps=2")
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("W&B records offline: no API key is configured") == 1
    run = tmp_path / "runs" / "run"
    identity = json.loads((run / "run.json").read_text())["id"]
    checkpoint = torch.load(run / "checkpoints" / "step_00000002.ckpt", weights_only=True)
    assert checkpoint["deblurzoo"]["run_id"] == identity

    (folder,) = (run / "wandb").glob("offline-run-*")
    assert folder.name.endswith(identity)
    text = json.dumps(records(folder))
    for expected in ("val/psnr", "val/ssim", "train/lr", "media/images", "table", "kernel_size"):
        assert expected in text, expected
    validated = [item for item in history(records(folder)) if "val/psnr" in item]
    assert validated and all(float(item["train/tflop"]) > 0 for item in validated), "drawn against each other"
    assert_charts_over_steps(records(folder), {0, 1, 2})  # Lightning counts from 0, pictures count finished steps

    done = process("train", *arguments, "trainer.max_steps=4", "resume=auto")
    assert done.returncode == 0, done.stderr
    (resumed,) = set((run / "wandb").glob("offline-run-*")) - {folder}
    assert resumed.name.endswith(identity)
    assert_charts_over_steps(records(resumed), {2, 3, 4})
    assert json.loads((run / "run.json").read_text())["id"] == identity


@pytest.mark.processes
def test_a_preempted_run_is_marked_and_its_second_part_is_sent_by_compare(
    start: Start, process: Run, toy: Path, tmp_path: Path
) -> None:
    arguments = ["train", *TINY, f"data.root={toy}", "logger=wandb", "name=run", "callbacks.checkpoints.every=1"]
    preempted = start(*arguments, "trainer.max_steps=100000")
    run = tmp_path / "runs" / "run"
    wait_for(lambda: any(run.glob("checkpoints/*.ckpt")), preempted)
    preempted.send_signal(signal.SIGTERM)
    done = preempted.result()
    assert done.returncode == 1 and "To upload: wandb sync" in done.stdout
    (folder,) = (run / "wandb").glob("offline-run-*")
    assert [record for record in records(folder) if record["type"] == "preempting"]

    step = int(max(run.glob("checkpoints/*.ckpt")).stem[5:])
    resumed = process(*arguments, f"trainer.max_steps={step + 1}", "resume=auto")
    assert resumed.returncode == 0, resumed.stderr
    assert "deblurzoo compare runs/run --to-wandb deblurzoo" in resumed.stdout
    (second,) = set((run / "wandb").glob("offline-run-*")) - {folder}
    assert not [record for record in records(second) if record["type"] == "preempting"]


@pytest.fixture
def sweep(process: Run, toy: Path, tmp_path: Path) -> list[Path]:
    """The W&B folders of a sweep of two, recorded offline."""
    arguments = [*TINY, f"data.root={toy}", "logger=wandb", "name=table", "group=table", "trainer.max_steps=1"]
    done = process("train", "-m", *arguments, "seed=1,2")
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(tmp_path.glob("runs/table/*/wandb/offline-run-*"))


def test_the_jobs_of_a_sweep_are_runs_of_one_group_with_results(sweep: list[Path]) -> None:
    assert len(sweep) == 2 and len({folder.name[-8:] for folder in sweep}) == 2
    for seed, folder in enumerate(sweep, 1):
        text = json.dumps(records(folder))
        for expected in (f"seed-{seed}", "kernel_size", "table", "test/psnr", "test/ssim_matlab3d", "test/images"):
            assert expected in text, expected
        assert_charts_over_steps(records(folder), {0, 1})


@pytest.mark.processes
def test_compare_reads_runs_from_wandb_as_from_disk(sweep: list[Path], process: Run, tmp_path: Path) -> None:
    def lines(csv: str) -> list[str]:
        return sorted((tmp_path / csv).read_text().splitlines())

    assert process("compare", "runs", "--csv", "disk.csv").returncode == 0
    runs = {
        folder.name[-8:]: (state, folder / "files")
        for folder, state in zip(sweep, ("finished", "crashed"), strict=True)
    }
    with serving(runs) as variables:
        fetched = process(
            "compare", "--wandb", "team/project", "--csv", "wandb.csv", "--html", "page.html", **variables
        )
        assert fetched.returncode == 0, fetched.stdout + fetched.stderr
        wrong = process("compare", "--wandb", "team/other", **variables)
    assert len(lines("disk.csv")) == 1 + len(sweep)  # W&B's copy in a run folder is not counted as another run
    assert set(lines("disk.csv")) < set(lines("wandb.csv"))
    assert fetched.stdout.count("crashed in W&B") == 1
    assert len(list((tmp_path / "page_files").glob("*.png"))) > 2
    assert wrong.returncode == 1 and "W&B project team/other cannot be read" in wrong.stderr


@pytest.mark.processes
def test_runs_trained_without_wandb_are_sent_to_it(process: Run, toy: Path, tmp_path: Path) -> None:
    arguments = [*TINY, f"data.root={toy}", "name=table", "group=table", "tags=[toy]", "trainer.max_steps=1"]
    assert process("train", "-m", *arguments, "hydra.sweep.subdir=table").returncode == 0
    sent = process("compare", "runs", "--to-wandb", "project", "--html", "page.html")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    (folder,) = tmp_path.glob("runs/table/wandb/offline-run-*")
    assert folder.name[-8:] == json.loads((tmp_path / "runs" / "table" / "run.json").read_text())["id"]
    text = json.dumps(records(folder))
    for expected in ("seed", "toy", "kernel_size", "test/psnr", "test/images"):
        assert expected in text, expected
    assert_charts_over_steps(records(folder), {1})
    shutil.copytree(tmp_path / "runs", tmp_path / "copies")
    copied = process("compare", "copies", "--to-wandb", "project")
    assert copied.returncode == 0 and "is a copy of" in copied.stderr, copied.stdout + copied.stderr
    renewed = json.loads((tmp_path / "copies" / "table" / "run.json").read_text())["id"]
    assert renewed != folder.name[-8:] and list(tmp_path.glob(f"copies/table/wandb/offline-run-*-{renewed}"))
    (attached,) = tmp_path.glob("wandb/offline-run-*")  # next to the page
    (begun,) = (record["run"] for record in records(attached) if record["type"] == "run")
    assert (begun["job_type"], begun["run_group"]) == ("compare", "table")
    (page,) = attached.glob("files/media/html/page_*.html")
    assert "blurry input" in page.read_text() and "page_files/" not in page.read_text()
    with serving({"sent": ("finished", folder / "files")}) as variables:
        fetched = process("compare", "--wandb", "team/project", **variables)
    assert "blurry input" in fetched.stdout, fetched.stdout + fetched.stderr


def test_compare_without_an_account_says_so(process: Run) -> None:
    done = process("compare", "--wandb", "team/project")
    assert done.returncode == 1 and "wandb login" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.processes
def test_a_server_that_refuses_does_not_stop_training(process: Run, toy: Path) -> None:
    variables = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = process("train", *TINY, f"data.root={toy}", "logger=wandb", "name=run", "trainer.max_steps=1", **variables)
    assert done.returncode == 0, done.stderr
    assert "W&B records offline: the server did not answer" in done.stdout + done.stderr


def test_an_invalid_mode_is_one_message(process: Run, toy: Path) -> None:
    arguments = [*TINY, f"data.root={toy}", "logger=wandb", "name=run", "trainer.max_steps=1"]
    done = process("train", *arguments, WANDB_MODE="odd")
    refused(done, "error: a variable WANDB_… of the environment is invalid (mode=odd: Input should be 'online', ")
    assert "1/1" not in done.stdout + done.stderr


def test_a_disabled_wandb_records_nothing(process: Run, toy: Path, tmp_path: Path) -> None:
    arguments = [*TINY, f"data.root={toy}", "logger=wandb", "name=run", "trainer.max_steps=1"]
    done = process("train", *arguments, WANDB_MODE="disabled")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(tmp_path.glob("**/*.wandb"))


@pytest.mark.parametrize("project", ["a/b/c d", "/b", "a/", "a?b"])
def test_a_project_with_a_wrong_name_is_rejected_before_any_work(
    project: str, deblurzoo: Run, toy: Path, tmp_path: Path
) -> None:
    message = f"{project!r} is not a project of W&B: give PROJECT or ENTITY/PROJECT"
    refused(deblurzoo("compare", "runs", "--to-wandb", project), "argument --to-wandb: " + message, code=2)
    export = deblurzoo("export", "--checkpoint", "x", "--out", "export", "--to-wandb", project)
    refused(export, "argument --to-wandb: " + message, code=2)
    arguments = [*TINY, f"data.root={toy}", "name=run", "trainer.max_steps=1", "logger=wandb"]
    done = deblurzoo("train", *arguments, f"logger.wandb.project='{project}'")
    refused(done, f"logger.wandb.project={project}: ", message)
    assert not [*tmp_path.glob("runs/run/*.yaml"), *tmp_path.glob("runs/run/*.json")]


def test_a_run_is_sent_to_a_project_of_an_entity(process: Run, run: Path, toy: Path, tmp_path: Path) -> None:
    assert process("evaluate", "checkpoint=runs/run", f"data.root={toy}", "data=toy").returncode == 0
    sent = process("compare", "runs", "--to-wandb", "team/project")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    (begun,) = (record["run"] for record in records(next(run.glob("wandb/offline-run-*"))) if record["type"] == "run")
    assert (begun["entity"], begun["project"]) == ("team", "project")


def test_a_home_that_cannot_be_written_does_not_fail_a_run(process: Run, toy: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    arguments = [*TINY, f"data.root={toy}", "logger=wandb", "name=run", "trainer.max_steps=1", "evaluate_at_end=true"]
    done = process("train", *arguments, "logger.wandb.log_model=last", HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("runs/run/evaluate/*/results.json"))
    assert list(tmp_path.glob("runs/run/wandb/offline-run-*/files/media/table/test/images*.json"))
    assert "may be missing in W&B" not in done.stdout + done.stderr


def test_errors_of_wandb_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    with harmless("the evaluation"):
        raise PermissionError("no permission\nsecond line")
    assert caplog.messages == ["the evaluation may be missing in W&B (PermissionError: no permission)"]
