"""Figures of one section as plotly traces and layouts. The page's script adds the colours of the page.

A figure is a dict with plotly's `data` and `layout`, and with `labels`: the points that the script labels with the
networks' numbers, without overlap. If `beside` is true, the labels are placed next to the ends of curves, otherwise
around the points.
"""

import csv
import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deblurzoo.reports.blur_sizes import gain_by_blur
from deblurzoo.reports.page.types import Network

Figure = dict[str, Any]
Points = list[tuple[float, float]]

MOST_POINTS = 500
"""Maximum number of points of a curve. Longer curves are averaged over neighbouring steps, because a page with 500,000
points would scroll too slowly."""

_LOG_FROM = 8.0
"""Minimum ratio of the largest to the smallest value for which an axis is logarithmic."""


def figures(group: list[Network]) -> dict[str, Figure]:
    """Return the figures that have data, by the `data-figure` attribute of their element in the page."""
    curves = {network.number: read_curves(network.evaluation.run) for network in group}
    times = [network.results.ms_per_image for network in group]
    sizes = [network.results.network.parameters for network in group]
    drawn = {
        "val": _curves(group, curves, "val/psnr", "validation PSNR (dB)"),
        "compute": _curves(group, curves, "compute", "validation PSNR (dB)", "10<sup>12</sup> multiply-adds"),
        "loss": _curves(group, curves, "train/loss", "training loss"),
        "time": _scatter(group, times, "time per image (ms)"),
        "size": _scatter(group, sizes, "parameters"),
        "blur": _gains(group),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def read_curves(run: Path | None) -> dict[str, Points]:
    """Return the points (step, value) of `val/psnr` and `train/loss`, and as `compute` those of (tflop, `val/psnr`).

    For a duplicate step, the latest file is used.
    """
    found: dict[str, dict[int, float]] = {"val/psnr": {}, "train/loss": {}, "train/tflop": {}}
    versions = run.glob("csv/version_*/metrics.csv") if run else []
    for path in sorted(versions, key=_version):
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                for name, points in found.items():
                    step, value = _number(row.get("step")), _number(row.get(name))
                    if step is not None and value is not None:
                        points[int(step)] = value
    curves: dict[str, Points] = {name: sorted(points.items()) for name, points in found.items()}
    tflop = curves.pop("train/tflop")
    curves["compute"] = _by_compute(curves["val/psnr"], tflop)
    return {name: thin(points) for name, points in curves.items()}


def _by_compute(points: Points, tflop: Points) -> Points:
    """Return points (step, value) as (tflop, value); empty if the compute is unknown."""
    if not tflop:
        return []
    computed = np.interp([step for step, _ in points], *np.transpose(tflop))
    return list(zip(computed.tolist(), (value for _, value in points), strict=True))


def _version(path: Path) -> tuple[int, str]:
    number = path.parent.name.rpartition("_")[2]
    return (int(number) if number.isdecimal() else -1, path.parent.name)


def _number(text: str | None) -> float | None:
    """Return the number in a text, or None if it is not finite or not a number: a killed run can leave half a line."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def thin(points: Points, most: int = MOST_POINTS) -> Points:
    """Return at most `most` points. Each point has the mean of consecutive values, and the last of their steps."""
    width = math.ceil(len(points) / most) if points else 1
    chunks = (points[start : start + width] for start in range(0, len(points), width))
    return [(chunk[-1][0], sum(value for _, value in chunk) / len(chunk)) for chunk in chunks]


def _curves(
    group: list[Network], curves: dict[int, dict[str, Points]], metric: str, label: str, compute: str | None = None
) -> Figure | None:
    """Return the curves of a metric against the step, or against compute."""
    drawn = [(network, curves[network.number][metric]) for network in group if curves[network.number][metric]]
    if not drawn:
        return None
    lines = [
        {
            **_trace(network, points),
            "mode": "lines" if len(points) > 1 else "markers",
            "line": {"color": network.colour, "width": 2, "dash": _dash(network)},
        }
        for network, points in drawn
    ]
    values = [value for _, points in drawn for _, value in points]
    spots = [x for _, points in drawn for x, _ in points]
    horizontal = _axis(spots, compute) if compute else {"title": {"text": "step"}}
    axes = {"xaxis": horizontal, "yaxis": _axis(values, label, from_zero=False)}
    ends = [{"network": network.number, "x": points[-1][0], "y": points[-1][1]} for network, points in drawn]
    return {"data": lines, "layout": axes, "labels": ends, "beside": True}


def _trace(network: Network, points: list[Any]) -> Figure:
    return {
        "type": "scatter",
        "network": network.number,
        "name": html.escape(network.name),
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "marker": {"color": network.colour, "size": 9},
    }


def _dash(network: Network) -> str:
    """Return the dash style of a curve. It changes after every seventh network, because colours repeat there."""
    return ("solid", "dash", "dot", "dashdot")[(network.number - 1) // 7 % 4]


def _scatter(group: list[Network], values: Sequence[float | None], label: str) -> Figure | None:
    """Return PSNR against a value of each network; networks without a value are omitted."""
    known = [(network, value) for network, value in zip(group, values, strict=True) if value is not None]
    if not known:
        return None
    points = [(network, (value, network.results.restored["psnr"])) for network, value in known]
    spots, psnr = zip(*(point for _, point in points), strict=True)
    return {
        "data": [{**_trace(network, [point]), "mode": "markers"} for network, point in points],
        "layout": {
            "xaxis": _axis(spots, label),
            **_psnr_and_blurry(psnr, group[0].results.blurry["psnr"]),
        },
        "labels": [{"network": network.number, "x": x, "y": y} for network, (x, y) in points],
        "beside": False,
    }


def _gains(group: list[Network]) -> Figure | None:
    """Return the gain by blur length.

    The points of the networks are shifted by 1.5 %, and by 3 % at most, so that intervals do not cover each other.
    """
    found = [(network, gains) for network in group if (gains := gain_by_blur(network.results))]
    if not found:
        return None
    lines, ends = [], []
    shifts = np.linspace(-1, 1, len(found)) * min(0.03, 0.015 * (len(found) - 1) / 2)
    for shift, (network, gains) in zip(1 + shifts, found, strict=True):
        points = [(shift * gain.length, gain.gain) for gain in gains]
        margins = [gain.margin or 0.0 for gain in gains]
        line = {"color": network.colour, "width": 2, "dash": _dash(network)}
        bars = {"type": "data", "array": margins, "color": network.colour, "thickness": 1.5, "width": 3}
        texts = [f"{gain.limits} pixels, {gain.tiles:,} tiles, clips: {gain.clips}" for gain in gains]
        lines.append({**_trace(network, points), "mode": "lines+markers", "line": line, "error_y": bars, "text": texts})
        ends.append({"network": network.number, "x": points[-1][0], "y": points[-1][1]})
    tops = [gain.gain + sign * (gain.margin or 0) for _, gains in found for gain in gains for sign in (-1, 1)]
    lowest, highest = min(0.0, *tops), max(0.0, *tops)
    margin = 0.06 * (highest - lowest or 1.0)
    axes = {
        "xaxis": _axis([gain.length for _, gains in found for gain in gains], "blur length (pixels)"),
        "yaxis": {"title": {"text": "gain (dB)"}, "range": [lowest - margin, highest + margin]},
        "shapes": [_level(0.0)],
    }
    return {"data": lines, "layout": axes, "labels": ends, "beside": True}


def _level(y: float) -> Figure:
    """Return a horizontal line across a figure."""
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y}


def _psnr_and_blurry(psnr: Sequence[float], blurry: float) -> Figure:
    """Return the PSNR axis with a line at the blurry input's PSNR, or only with a text if the line would be far off."""
    lowest, highest = min(psnr), max(psnr)
    spread = max(highest - lowest, 0.2)
    far = not lowest - 2 * spread < blurry < highest + 2 * spread
    if not far:
        lowest, highest = min(lowest, blurry), max(highest, blurry)
    margin = 0.15 * max(highest - lowest, 0.2)
    note = {"text": "blurry input", "xref": "paper", "x": 1, "xanchor": "right", "y": blurry, "yanchor": "top"}
    words = {"text": f"blurry input: {blurry:.2f} dB", "yref": "paper", "y": 0.0, "yanchor": "bottom"}
    return {
        "yaxis": {"title": {"text": "PSNR (dB)"}, "range": [lowest - 1.5 * margin, highest + margin]},
        "shapes": [] if far else [_level(blurry)],
        "annotations": [{**note, **(words if far else {}), "showarrow": False}],
    }


def _axis(values: Sequence[float], label: str, from_zero: bool = True) -> Figure:
    """Return a linear axis, or a logarithmic axis with round ticks if the maximum is `_LOG_FROM` times the minimum."""
    lowest, highest = min(values), max(values)
    if lowest <= 0 or highest / lowest < _LOG_FROM:
        margin = 0.06 * (highest - lowest or abs(highest) or 1.0)
        span = [0, 1.12 * max(highest, 1e-9)] if from_zero else [lowest - margin, highest + margin]
        return {"title": {"text": label}, "range": span}
    start, stop = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    leads = {1: (1, 2, 5), 2: (1, 2, 5), 3: (1, 3), 4: (1, 3)}.get(stop - start, (1,))
    ticks = [float(f"{lead}e{power}") for power in range(start, stop + 1) for lead in leads]
    return {
        "title": {"text": f"{label}, logarithmic"},
        "type": "log",
        "range": [math.log10(lowest / 1.4), math.log10(highest * 1.4)],
        "tickvals": ticks,
        "ticktext": [_short(tick) for tick in ticks],
    }


def _short(value: float) -> str:
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"
