"""Evaluations with chosen, additional, missing and wrong metrics."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from commands.evaluations import FAST, evaluate_here, evaluated, write_folders
from conftest import Run
from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.media.images import read_image
from deblurzoo.metrics import METRICS, Metric


def mean_absolute_error(image: Image, sharp: Image) -> float:
    return np.abs(image.astype(np.float32) - sharp).mean()  # type: ignore[no-any-return]  # a NumPy scalar


MAE = Metric("Mean error", 3, "levels", False, mean_absolute_error)


def test_an_entry_of_metrics_is_measured_where_it_is_chosen_and_shown_everywhere(
    deblurzoo: Run, identity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "mae", MAE)
    data = [*write_folders(tmp_path, 3), "data.consecutive=false"]
    usual = evaluated(deblurzoo("evaluate", f"checkpoint={identity}", *data, *FAST, "out=usual"), tmp_path / "usual")
    assert list(usual["restored"]) == ["psnr", "ssim", "ssim_matlab3d"], "only chosen metrics are measured"
    done = deblurzoo("evaluate", f"checkpoint={identity}", *data, *FAST, "metrics=[psnr,mssim,mae]")
    assert done.returncode == 1 and "multi-scale SSIM requires at least 161 per side" in done.stderr
    done = deblurzoo("evaluate", f"checkpoint={identity}", *data, *FAST, "metrics=[psnr,mae]")
    results = evaluated(done, identity / "evaluate" / "folder_blurry")
    assert list(results["restored"]) == list(results["blurry"]) == ["psnr", "ssim", "ssim_matlab3d", "mae"]
    assert {name: value for name, value in results["restored"].items() if name != "mae"} == usual["restored"]
    for number, image in enumerate(results["images"]):
        blurry, sharp = (read_image(tmp_path / kind / f"{number:04d}.png") for kind in ("blurry", "sharp"))
        assert image["blurry"]["mae"] == pytest.approx(np.abs(blurry.astype(int) - sharp).mean(), rel=1e-6)
    mae = np.mean([image["blurry"]["mae"] for image in results["images"]])
    assert results["blurry"]["mae"] == pytest.approx(mae)
    assert "Mean" in done.stdout and f"{mae:.3f}" in done.stdout

    def compared() -> tuple[list[dict[str, str]], str, str]:
        done = deblurzoo("compare", "usual", "runs", "--csv", "t.csv", "--markdown", "t.md", "--html", "page.html")
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader((tmp_path / "t.csv").open()))
        return rows, (tmp_path / "t.md").read_text(), (tmp_path / "page.html").read_text()

    rows, markdown, page = compared()
    assert [row["mae"] for row in rows] == ["", str(results["restored"]["mae"])]
    assert rows[1]["blurry_mae"] == str(results["blurry"]["mae"])
    assert markdown.count("| PSNR | SSIM | SSIM 3-D | Mean error | gain dB |") == 1, (
        "one table, since all other conditions are equal"
    )
    assert f" | {mae:.3f} |  |  |  |" in markdown, "the row of the blurry input has the metrics of all evaluations"
    assert "Mean error (levels)</button>" in page and f"<td>{mae:.3f}</td>" in page

    monkeypatch.delitem(METRICS, "mae")  # as if its package were not installed
    rows, markdown, page = compared()
    assert rows[1]["mae"] == str(results["restored"]["mae"])
    assert "| SSIM 3-D | mae | gain dB |" in markdown and f"| {mae:.4f} |" in markdown
    assert "mae</button>" in page and f"<td>{mae:.4f}</td>" in page


def test_a_wrong_metric_fails_before_anything_is_read(
    deblurzoo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = deblurzoo("evaluate", "checkpoint=nowhere", "data=toy", "metrics=[psnr,lpips]")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "metric lpips is unknown: choose from psnr, ssim, ssim_matlab3d, mssim" in " ".join(done.stderr.split())
    done = deblurzoo("evaluate", "checkpoint=nowhere", "data=toy", "metrics=3")
    assert done.returncode == 1 and "metrics=3: Input should be a valid list" in done.stderr
    done = deblurzoo("evaluate", "checkpoint=nowhere", "data=toy", "metrics=psnr")
    assert done.returncode == 1 and "checkpoint nowhere does not exist" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_metric_without_a_finite_value_is_named(
    identity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "broken", Metric("Broken", 2, "", True, lambda image, sharp: math.nan))
    with pytest.raises(DeblurzooError, match="metric broken returned nan: values must be finite and below 1e\\+09"):
        evaluate_here(f"checkpoint={identity}", *write_folders(tmp_path, 1), "metrics=[broken]")


def test_a_finished_evaluation_that_lacks_a_metric_is_measured_anew(
    identity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "mae", MAE)
    data = [f"checkpoint={identity}", *write_folders(tmp_path, 1)]
    file = identity / "evaluate" / "folder_blurry" / "results.json"
    for metrics, is_measured in ((None, True), (["mae"], True), (["psnr"], False), (["mae", "ssim"], False)):
        before = file.stat().st_mtime_ns if file.exists() else None
        evaluate_here(*data, f"metrics={str(metrics or 'null').replace(chr(39), '')}", anew=False)
        assert (file.stat().st_mtime_ns != before) is is_measured, metrics
