"""A report of compared runs in W&B: bars by variant, curves, tables and pictures; requires wandb-workspaces."""

from collections.abc import Sequence
from pathlib import Path

import wandb_workspaces.reports.v2 as wr
from wandb_workspaces import expr

from deblurzoo.errors import DeblurzooError
from deblurzoo.reports.gather import Failure
from deblurzoo.reports.results import Results
from deblurzoo.reports.run_folder import identity_of, run_of
from deblurzoo.reports.table import as_markdown
from deblurzoo.reports.wandb import STEP

_VARIANT = wr.Config("variant")


def report(project: str, found: dict[Path, Results], failed: Sequence[Failure]) -> wr.Report:
    """Return the report of evaluations whose runs are in a W&B project; it is not saved.

    Args:
        project: ENTITY/PROJECT.
        found: the evaluations by their `results.json`, see `deblurzoo.reports.gather.gather`.
        failed: the runs that are not done.

    Raises:
        DeblurzooError: no evaluation is in a run folder.
    """
    entity, _, name = project.partition("/")
    ids = sorted({identity_of(run).id for run in map(run_of, found) if run})
    if not ids:
        raise DeblurzooError("--wandb-report needs evaluations of runs: give RUN, not only results.json")
    filters = [expr.Metric("ID").isin(ids)]
    grouped = wr.Runset(entity=entity, project=name, name="by variant", filters=filters, groupby=["config.variant"])
    single = wr.Runset(entity=entity, project=name, name="runs", filters=filters)
    charts = wr.PanelGrid(
        runsets=[grouped],
        panels=[
            wr.BarPlot(title="Test PSNR in dB", metrics=["test/psnr"], groupby=_VARIANT, layout=_half(0, 0)),
            wr.BarPlot(title="Gain in dB", metrics=["test/gain_db"], groupby=_VARIANT, layout=_half(12, 0)),
            wr.LinePlot(title="Validation PSNR in dB", x=STEP, y=["val/psnr"], groupby=_VARIANT, layout=_half(0, 9)),
            wr.LinePlot(title="Training loss", x=STEP, y=["train/loss"], groupby=_VARIANT, layout=_half(12, 9)),
            wr.LinePlot(
                title="Validation PSNR in dB against 10^12 multiply-adds",
                x="train/tflop",
                y=["val/psnr"],
                groupby=_VARIANT,
                layout=_half(0, 18),
            ),
        ],
    )
    pictures = wr.WeavePanelSummaryTable(table_name="test/images", layout=wr.Layout(w=24, h=14))
    table = wr.MarkdownBlock(as_markdown(list(found.values()), failed))
    return wr.Report(
        entity=entity,
        project=name,
        title="Comparison of networks",
        blocks=[charts, table, wr.PanelGrid(runsets=[single], panels=[pictures])],
    )


def _half(x: int, y: int) -> wr.Layout:
    """Return the place of a panel of half the width of a report, which is 24 units."""
    return wr.Layout(x=x, y=y, w=12, h=9)


def saved(built: wr.Report) -> str:
    """Save a report in its W&B project, and return its address.

    Raises:
        DeblurzooError: no API key, no such project or no answer.
    """
    try:
        return str(built.save().url)
    except Exception as error:  # the library raises Exception itself without an account
        raise DeblurzooError(
            f"the report cannot be saved in {built.entity}/{built.project} ({error}): check the name and `wandb login`"
        ) from error
