"""Draw `gains.svg` from the kept files of the study: the gain of each network by crops seen, and by length of the blur.

PYTHONPATH=study python docs/pictures/gains.py

The curves are of the validation photos, during the longer training. The gain by length of the blur is of the Kodak
images after it, with 95 % intervals, without ranges of fewer than 100 tiles.
"""

from pathlib import Path

from architectures import Drawing
from charts import Chart, legend
from ideas import TITLES
from kept import BATCH, kept, validations
from trainings import FOLDERS, NETWORKS
from trainings import HERE as STUDY

from deblurzoo.reports.blur_sizes import Gain, gain_by_blur

HERE = Path(__file__).parent
FEWEST_TILES = 100
LIMITS = (-0.5, 3)
"""Limits of the vertical axes, in dB."""


def by_crops(network: str) -> list[tuple[float, float]]:
    """Return the points (thousands of crops, gain in dB) of all validations of a network."""
    found = validations(STUDY / FOLDERS["longer"] / network / "metrics.csv")
    return [(BATCH * one.step / 1000, one.gain) for one in found]


def by_blur(network: str) -> list[Gain]:
    """Return the gain of a network by length of the blur."""
    found = gain_by_blur(kept("longer", network, ["kodak"])["kodak"])
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
    legend(drawing, 228, [TITLES[network] for network in NETWORKS])
    return drawing


if __name__ == "__main__":
    gains().save(HERE / "gains.svg")
