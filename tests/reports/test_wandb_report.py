"""The report in W&B: its blocks, built without a network connection."""

import shutil
import sys
from pathlib import Path

import pytest

from conftest import Run
from deblurzoo.reports.gather import gather
from deblurzoo.reports.run_folder import identity_of
from verbs import refused


@pytest.fixture
def evaluated(run: Path, toy: Path, deblurzoo: Run) -> Path:
    done = deblurzoo("evaluate", f"checkpoint={run}", "data=toy", f"data.root={toy}", "trainer=cpu")
    assert done.returncode == 0, done.stderr
    return run


def test_a_report_compares_the_given_runs_by_variant(evaluated: Path, deblurzoo: Run) -> None:
    pytest.importorskip("wandb_workspaces", reason="the extra `report` is not installed")
    from deblurzoo.reports.wandb_report import report

    found, failed = gather([evaluated])
    charts, table, pictures = report("team/project", found, failed).blocks
    for grid in (charts, pictures):
        (runs,) = grid.runsets
        assert (runs.entity, runs.project) == ("team", "project")
        assert runs.filters == f"Metric(\"ID\") in ['{identity_of(evaluated).id}']"
    assert charts.runsets[0].groupby == ["config.variant"]
    shown = [panel._to_model().config for panel in charts.panels]
    metrics = [["test/psnr"], ["test/gain_db"], ["val/psnr"], ["train/loss"], ["val/psnr"]]
    assert [config.metrics for config in shown] == metrics
    assert {config.group_by for config in shown} == {"variant.value"}
    assert [config.x_axis for config in shown[2:]] == ["trainer/global_step", "trainer/global_step", "train/tflop"]
    assert "blurry input" in table.text and "| run |" in table.text
    assert [panel.table_name for panel in pictures.panels] == ["test/images"]

    refused(deblurzoo("compare", evaluated, "--wandb-report", "team/project"), "wandb login")


def test_a_report_of_no_runs_is_an_error_before_the_work(evaluated: Path, deblurzoo: Run, tmp_path: Path) -> None:
    pytest.importorskip("wandb_workspaces", reason="the extra `report` is not installed")
    (file,) = evaluated.glob("evaluate/*/results.json")
    shutil.copy(file, tmp_path)
    done = deblurzoo("compare", "results.json", "--wandb-report", "team/project", "--csv", "table.csv")
    refused(done, "--wandb-report needs evaluations of runs: give RUN")
    assert not done.stdout and not (tmp_path / "table.csv").exists()


def test_a_report_without_its_library_names_the_extra(
    evaluated: Path, deblurzoo: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.delitem(sys.modules, "deblurzoo.reports.wandb_report", raising=False)
    done = deblurzoo("compare", evaluated, "--wandb-report", "team/project")
    assert not done.stdout
    refused(done, "pip install 'deblurzoo[report]'")
