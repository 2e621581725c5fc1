"""Draw `gains.svg` from the kept files of the study: the gain of each network by crops seen, and by length of the blur.

python docs/pictures/gains.py

The curves are of the validation photos, during the longer training. The gain by length of the blur is of the Kodak
images after it, with 95 % intervals, without ranges of fewer than 100 tiles.
"""

import csv
from pathlib import Path

import yaml
from architectures import Drawing
from charts import Chart, legend

from deblurzoo.files import conf_dir
from deblurzoo.reports.blur_sizes import Gain, gain_by_blur
from deblurzoo.reports.results import read

HERE = Path(__file__).parent
JOBS = HERE.parents[1] / "study" / "longer"
NETWORKS = {"svrnn": "SVRNN", "srn": "SRN", "flow_rnn": "FlowRNN", "nafnet": "NAFNet"}
FEWEST_TILES = 100
LIMITS = (-0.5, 3)
"""Limits of the vertical axes, in dB."""
Points = list[tuple[float, float]]


def by_crops(network: str) -> Points:
    """Return the points (thousands of crops, gain in dB) of all validations of a network."""
    crops: int = yaml.safe_load((conf_dir() / "recipe" / "study.yaml").read_text())["datamodule"]["batch_size"]
    with (JOBS / network / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val/gain"]]
    return [(crops * (int(row["step"]) + 1) / 1000, float(row["val/gain"])) for row in rows]


def by_blur(network: str) -> list[Gain]:
    """Return the gain of a network by length of the blur."""
    found = gain_by_blur(read(JOBS / network / "kodak" / "results.json"))
    return [one for one in found if one.tiles >= FEWEST_TILES]


def gains() -> Drawing:
    """Draw both charts."""
    drawing, ticks = Drawing(780, 240), (-0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3)
    crops = Chart(drawing, 40, (0, 64), LIMITS)
    crops.axes("gain on validation photos (dB), by thousands of crops seen", (0, 16, 32, 48, 64), ticks)
    blur = Chart(drawing, 430, (3, 7), LIMITS)
    blur.axes("gain on Kodak (dB), by length of the blur in pixels", (3, 4, 5, 6, 7), ticks)
    for number, network in enumerate(NETWORKS):
        crops.line(number, by_crops(network))
        found = by_blur(network)
        blur.line(number, [(one.length, one.gain) for one in found])
        for one in found:
            if one.interval:
                blur.interval(number, one.length, *one.interval)
    legend(drawing, 228, [*NETWORKS.values()])
    return drawing


if __name__ == "__main__":
    gains().save(HERE / "gains.svg")
