"""Files of version 0.1 still work and give the same results; only resuming may fail."""

import csv
import json
import lzma
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from skimage.metrics import peak_signal_noise_ratio

from conftest import Run
from deblurzoo.media import Image
from deblurzoo.media.images import read_image
from deblurzoo.reports.results import read
from oracle import machine

FIXTURES = Path(__file__).parent / "fixtures" / "v0.1"
RUNS = ("runs/srn", "runs/srn_ema", "runs/svrnn", "runs/liu2016", "runs/flow_rnn")
JOBS = ("runs/table/model.net.resize-half_pixel", "runs/table/model.net.resize-tf1")
EXPORT = "export"
"""Export of runs/srn."""
MEASURED = ("data=toy", "data.root=toy", "data.common_frames=2", "trainer=cpu", "datamodule.workers=0")
"""Overrides of the recorded evaluations."""
FRAMES = "toy/test/TOY_test_000"
DECIBEL, SSIM = 0.002, 1e-4
"""Tolerances between different CPU models."""


def is_recorded_here() -> bool:
    """Whether the CPU model and torch's version are the recorded ones."""
    recorded: dict[str, str] = json.loads((FIXTURES / "machine.json").read_text())
    return recorded == machine()


def results_of(trained: str) -> dict[str, Any]:
    """Return the results that version 0.1 measured."""
    (file,) = (FIXTURES / trained).glob("evaluate/*/results.json")
    results: dict[str, Any] = json.loads(file.read_text())
    return results


def about(value: float, tolerance: float) -> Any:
    """Return a value to compare with: exact on the recorded machine, otherwise approximate."""
    return value if is_recorded_here() else pytest.approx(value, rel=0, abs=tolerance)


def assert_figures(found: dict[str, Any], recorded: dict[str, Any]) -> None:
    assert (found["frames"], found["resolution"]) == (recorded["frames"], recorded["resolution"])
    for part in ("restored", "blurry"):
        for name, value in recorded[part].items():
            assert found[part][name] == about(value, DECIBEL if name == "psnr" else SSIM), f"{part} {name}"
    assert found["do_no_harm_psnr"] == about(recorded["do_no_harm_psnr"], DECIBEL)


def assert_picture(found: Image, recorded: Image, sharp: Image) -> None:
    if is_recorded_here():
        assert (found == recorded).all()
    then, now = (peak_signal_noise_ratio(sharp, picture) for picture in (recorded, found))
    assert now == about(then, DECIBEL)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Set one thread, because the last digit of a sum depends on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def v01(tmp_path: Path) -> Path:
    """The working folder of commands, with the files of version 0.1, decompressed."""
    for name in ("toy", "runs", "export"):
        shutil.copytree(FIXTURES / name, tmp_path / name)
    for packed in tmp_path.rglob("*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    return tmp_path


@pytest.mark.parametrize("trained", [*RUNS, *JOBS, EXPORT])
def test_what_was_trained_is_measured_as_then(trained: str, deblurzoo: Run, v01: Path) -> None:
    done = deblurzoo("evaluate", f"checkpoint={trained}", "out=measured", *MEASURED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_figures(json.loads((v01 / "measured/results.json").read_text()), results_of(trained))


@pytest.mark.parametrize("trained", [*RUNS, EXPORT])
def test_what_was_trained_restores_and_is_exported_as_then(trained: str, deblurzoo: Run, v01: Path) -> None:
    exported = deblurzoo("export", "--checkpoint", trained, "--out", "again")
    assert exported.returncode == 0, exported.stdout + exported.stderr
    (recorded,) = (FIXTURES / trained).glob("evaluate/*/restored/*/*.png")
    for network, out in ((trained, "once"), ("again", "twice")):
        done = deblurzoo("deblur", f"{FRAMES}/blur", "--frames", "--checkpoint", network, "--out", out,
                         "--device", "cpu")  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        pictures = (v01 / out / recorded.name, recorded, FIXTURES / FRAMES / "sharp" / recorded.name)
        assert_picture(*map(read_image, pictures))


def test_the_export_of_a_run_is_the_one_of_then(deblurzoo: Run, v01: Path) -> None:
    assert deblurzoo("export", "--checkpoint", "runs/srn", "--out", "again").returncode == 0
    then, now = (load_file(folder / "model.safetensors") for folder in (FIXTURES / EXPORT, v01 / "again"))
    assert then.keys() == now.keys() and all(torch.equal(then[name], now[name]) for name in then)


@pytest.mark.parametrize("trained", [*RUNS, *JOBS, EXPORT])
def test_results_of_then_would_be_written_as_then(trained: str) -> None:
    (file,) = (FIXTURES / trained).glob("evaluate/*/results.json")
    written = json.loads(read(file).as_json())
    for new in ("data", "nothing_to_restore"):
        del written[new]
    del written["checkpoint"]["lineage"]
    assert json.dumps(written, indent=1) == file.read_text()


def test_a_sweep_and_runs_of_then_are_compared(deblurzoo: Run, v01: Path) -> None:
    done = deblurzoo("compare", "runs", EXPORT, "--csv", "table.csv", "--html", "page.html")
    assert done.returncode == 0, done.stdout + done.stderr
    with (v01 / "table.csv").open() as file:
        found = {row["name"]: row for row in csv.DictReader(file)}
    recorded = [results_of(trained) for trained in (*RUNS, *JOBS, EXPORT)]
    assert found.keys() == {results["name"] for results in recorded}
    for results in recorded:
        row = found[results["name"]]
        assert row["failure"] == "" and int(row["parameters"]) == results["network"]["parameters"]
        assert {name: float(row[name]) for name in results["restored"]} == results["restored"]
        assert {name: float(row[f"blurry_{name}"]) for name in results["blurry"]} == results["blurry"]
        assert results["name"] in (v01 / "page.html").read_text()
