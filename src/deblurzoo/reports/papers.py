"""The papers' published figures, from `papers.yaml`."""

import functools
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

Row = dict[str, Any]


@functools.cache
def tables() -> dict[str, Row]:
    """Return the papers' tables: `source`, `conditions` and `rows` by name; a row of an experiment has `parameters`."""
    found = {name: table for name, table in _content().items() if name != "parameters"}
    for table in found.values():
        for row in table["rows"].values():
            if "experiment" in row:
                row["parameters"] = parameters()[row["experiment"]]
    return found


def parameters() -> dict[str, int]:
    """Return how many parameters the papers' networks have, by experiment."""
    return _content()["parameters"]


@functools.cache
def _content() -> dict[str, Row]:
    content: dict[str, Row] = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("papers.yaml")))  # type: ignore[assignment]
    return content


def published(results: dict[str, Any]) -> Row | None:
    """Return the row (`psnr`, `ssim`, …) that a paper has for the network and the conditions of an evaluation, or None.

    A row fits if class, parameter count and the arguments it names agree: a narrower network is another network.
    """
    for table in tables().values():
        if any(results.get(key) != value for key, value in table["conditions"].items()):
            continue
        for row in table["rows"].values():
            if "network" in row and _is_of(results["network"], row):
                fitting: Row = row
                return fitting
    return None


def _is_of(network: dict[str, Any], row: Row) -> bool:
    named = {"class": network["class"], **network["arguments"]}
    agrees = all(named.get(key) == value for key, value in row["network"].items())
    changed = any(named.get(switch) for switch in ("residual", "disable_rnn", "same_frame"))
    return agrees and network["parameters"] == row["parameters"] and not changed
