"""The jobs of the study: controls have the multiply-adds of the full network, and every job trains."""

import re
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import gains
import kept
import numpy as np
import pytest
import report
import trainings
from hydra import compose, initialize_config_dir
from inputs import prepare
from linear import SIDE, best_filter, filtered

import study
from deblurzoo.commands.hydra_app import as_dicts
from deblurzoo.commands.train import make_module
from deblurzoo.errors import DeblurzooError
from deblurzoo.files import conf_dir
from deblurzoo.media.images import read_image
from deblurzoo.nets.cost import macs
from deblurzoo.reports.results import read as read_results
from deblurzoo.synthesis.toy import PHOTOGRAPHS

STUDY = Path(study.__file__).parent

JOBS = {
    (part, name): [*study.DATA[part], *job] for part, jobs in trainings.PARTS.items() for name, job in jobs().items()
}
SIZE = (256, 256)
NEAR = {"srn_one_scale": 0.03}
"""Distance from 1 of the ratio of multiply-adds, where whole channels allow no smaller one; 0.02 for all others."""


def network(job: list[str]) -> Any:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg: Any = compose("train", ["recipe=study", "trainer=cpu", "name=job", *job])
    return make_module(as_dicts(cfg.model)).net


@pytest.mark.parametrize("name", trainings.CONTROLS)
def test_controls_have_the_multiply_adds_of_the_full_network(name: str) -> None:
    full, _, width = trainings.CONTROLS[name]
    control = JOBS["study", name if width is None else f"{name}_control"]
    ratio = macs(network(control), SIZE) / macs(network(JOBS["study", full]), SIZE)
    assert ratio == pytest.approx(1, abs=NEAR.get(name, 0.02))


def test_full_networks_have_about_as_many_parameters() -> None:
    for name in trainings.NETWORKS:
        assert 0.5e6 < sum(weight.numel() for weight in network(JOBS["study", name]).parameters()) < 0.6e6


def test_every_job_composes() -> None:
    assert len({tuple(job) for job in JOBS.values()}) == len(JOBS)
    for job in JOBS.values():
        assert network(job).frames in (1, 2)


def test_photos_are_for_training_or_for_validation() -> None:
    train, validation = (set((STUDY / f"{name}.txt").read_text().split()) for name in ("train", "validation"))
    assert len(train) == 91 and len(validation) == 20 and not train & validation
    assert len({"camera_090.jpg", "camera_177.jpg"} & train) != 1  # the same scene


def test_the_page_of_results_is_up_to_date(tmp_path: Path) -> None:
    assert report.PAGE.read_text() == report.page()
    gains.gains().save(tmp_path / "gains.svg")
    assert (gains.HERE / "gains.svg").read_text() == (tmp_path / "gains.svg").read_text()
    kept = {folder.name for folder in (STUDY / "learnability").iterdir()}
    assert kept <= {*trainings.learnability()} and len(report.learnability_rows()) == len(kept)


@pytest.mark.processes
def test_jobs_train_are_evaluated_and_then_skipped(tmp_path: Path) -> None:
    for part, name, tests in (
        ("learnability", "svrnn_caffe_l2", set()),
        ("study", "flow_rnn_no_flow_control", {"kodak", "reds_full", "reds_half"}),
        ("longer", "flow_rnn", {"kodak", "reds_full", "reds_half"}),
        ("weights", "nafnet-small", {"kodak", "reds_full", "reds_half", "gopro_full", "gopro_half"}),
    ):
        job = [part, "--runs", tmp_path, "--toy", "--only", name]
        first, again = (
            subprocess.run([sys.executable, study.__file__, *map(str, job)], capture_output=True, text=True)
            for _ in range(2)
        )
        assert first.returncode == 0, first.stderr
        assert again.returncode == 0 and "is finished" in again.stdout + again.stderr
        results = tmp_path.glob(f"runs/{part}_{name}/evaluate/*/results.json")
        assert {file.parent.name for file in results} == tests
    assert (tmp_path / "exports" / "weights_nafnet-small" / "model.safetensors").stat().st_size < 1.1e6


def test_the_best_filter_is_the_filter_that_made_the_images() -> None:
    kernel = np.zeros((SIDE, SIDE))
    kernel[SIDE // 2, 2 : 2 + 4] = 0.1, 0.2, 0.3, 0.4
    images = [read_image(path) for path in PHOTOGRAPHS["train"][:2]]
    found = best_filter((image, filtered(image, kernel)) for image in images)
    assert np.abs(found - kernel).max() < 0.01
    assert np.abs(filtered(images[0], found).astype(int) - filtered(images[0], kernel)).max() <= 1


@pytest.mark.processes
def test_filters_are_evaluated(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, study.__file__, "filters", "--runs", tmp_path, "--toy"], check=False)
    assert done.returncode == 0
    for test in ("kodak", "validation", "gopro_half"):
        one, each = (
            read_results(tmp_path / "runs" / f"filter_{name}" / "evaluate" / test / "results.json").restored["psnr"]
            for name in ("one", "each")
        )
        assert each > one


def test_data_are_required(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for given, code, message in (
        ([], 2, "--data is missing"),
        (["--data", tmp_path], 1, f"error: --data: {tmp_path}/photos/camera_"),
        (["--data", tmp_path / "none"], 1, "and 127 more cannot be found: see the table of data in study/README.md"),
    ):
        command = [sys.executable, study.__file__, "study", "--runs", runs, *given]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        assert (done.returncode, runs.exists()) == (code, False) and message in done.stderr, done.stderr


def test_a_folder_of_runs_keeps_its_data(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "data").symlink_to("other")
    with pytest.raises(DeblurzooError, match=f"--runs {tmp_path} is of the data in {tmp_path}/other"):
        prepare(Namespace(runs=tmp_path, data=None, toy=True, part="study"))
    assert (tmp_path / "data").readlink() == Path("other") and not (tmp_path / "toy").exists()


@pytest.mark.parametrize("file", ["kodak/results.json", "reds_half/results.json", "metrics.csv", "hours.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff"])
def test_kept_files_that_are_corrupt_are_named(
    file: str, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(STUDY / "jobs" / "srn", tmp_path / "jobs" / "srn")
    damaged = tmp_path / "jobs" / "srn" / file
    damaged.unlink() if content is None else damaged.write_bytes(content)
    for module in (kept, report):
        monkeypatch.setattr(module, "HERE", tmp_path)
    with pytest.raises(DeblurzooError, match=re.escape(str(damaged))):
        list(report.network_rows("study"))


def test_the_curves_of_a_resumed_job_are_joined(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text("step,train/loss\n49,0.2\n")
    (tmp_path / "1.csv").write_text("step,train/loss,val/psnr\n99,0.1,\n99,,30.5\n")
    study.join_metrics(sorted(tmp_path.glob("?.csv")), tmp_path / "joined.csv")
    assert (tmp_path / "joined.csv").read_text() == "step,train/loss,val/psnr\n49,0.2,\n99,0.1,\n99,,30.5\n"
