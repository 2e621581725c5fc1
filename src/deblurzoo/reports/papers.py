"""The results published in the papers, from `papers.yaml`."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deblurzoo.reports.results import Network, Results

FIGURES = {"psnr": "psnr", "ssim_2d": "ssim", "ssim": "ssim_matlab3d", "mssim": "mssim"}
"""Metric names by key in `papers.yaml`. Most papers report MATLAB's SSIM, which treats an RGB image as a volume."""


@dataclass(frozen=True)
class Row:
    """A row of a paper's table.

    Args:
        table, name: keys of the table and of the row in `papers.yaml`.
        source: bibliographic reference of the table.
        conditions: conditions of the paper's measurement, by key of `results.json`; `dataset` is always included.
        figures: values by metric name; PSNR in dB.
        network: class and arguments of the network; None if deblurzoo does not implement the network.
        experiment: name of the experiment that trains this network.
        parameters: parameter count of this network.
        seconds: run time in seconds for a 1280x720 frame, as the paper states it.
        gpu: GPU on which the run time was measured.
        trained_on: training set, if the source states it.
    """

    table: str
    name: str
    source: str
    conditions: dict[str, Any]
    figures: dict[str, float]
    network: dict[str, Any] | None = None
    experiment: str | None = None
    parameters: int | None = None
    seconds: float | None = None
    gpu: str | None = None
    trained_on: str | None = None


@functools.cache
def rows() -> tuple[Row, ...]:
    """Return the rows of all tables, in the order of `papers.yaml`."""
    return tuple(
        _row(table, name, tables, content)
        for table, tables in _content().items()
        if table != "parameters"
        for name, content in tables["rows"].items()
    )


def _row(table: str, name: str, tables: dict[str, Any], content: dict[str, Any]) -> Row:
    experiment = content.get("experiment")
    return Row(
        table,
        name,
        tables["source"],
        tables["conditions"],
        figures={metric: content[key] for key, metric in FIGURES.items() if key in content},
        network=content.get("network"),
        experiment=experiment,
        parameters=parameters()[experiment] if experiment else None,
        seconds=content.get("seconds"),
        gpu=content.get("gpu"),
        trained_on=content.get("trained_on", tables.get("trained_on")),
    )


def rows_of(experiment: str) -> list[Row]:
    """Return the rows for the network that an experiment trains: one per data set, or none if it is not published."""
    return [row for row in rows() if row.experiment == experiment]


def parameters() -> dict[str, int]:
    """Return parameter counts by experiment, for the papers' networks, the released models and the toy networks."""
    return _content()["parameters"]


@functools.cache
def _content() -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("papers.yaml").read_bytes())
    return content


def published(results: Results) -> Row | None:
    """Return the row that matches the network and the conditions of an evaluation, or None.

    The network matches if its class, its parameter count and the arguments listed in the row agree. A network with
    `residual`, `disable_rnn` or `same_frame` never matches.
    """
    fitting = (row for row in rows() if _is_of(results, row.conditions) and _is_network(results.network, row))
    return next(fitting, None)


def published_figures(results: Results) -> dict[str, float]:
    """Return the values of the row that `published` returns, by metric name; an empty dict if no row matches."""
    row = published(results)
    return row.figures if row else {}


def _is_of(results: Results, conditions: dict[str, Any]) -> bool:
    return all(getattr(results, key) == value for key, value in conditions.items())


def _is_network(network: Network, row: Row) -> bool:
    named = {"class": network.kind, **network.arguments}
    agrees = row.network is not None and all(named.get(key) == value for key, value in row.network.items())
    changed = any(named.get(switch) for switch in ("residual", "disable_rnn", "same_frame"))
    return agrees and network.parameters == row.parameters and not changed
