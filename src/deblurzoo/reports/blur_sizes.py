"""Gain by blur size: the gain of a network on tiles whose blur has about the same length."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deblurzoo.metrics.psnr_ssim import decibels
from deblurzoo.reports.results import Results, scene

EDGES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, inf)
"""Limits of the ranges of blur lengths in pixels; the upper limit of a range is exclusive."""
FEWEST = 3
"""Minimum number of clips for an interval."""

Floats = NDArray[np.float64]


class Gain(NamedTuple):
    """The gain on the tiles of all images whose blur length is in a range."""

    low: float
    high: float
    """Limits of the range in pixels."""
    length: float
    """Mean blur length of the tiles in pixels."""
    tiles: int
    clips: int
    """Number of clips or photos to which the tiles belong."""
    gain: float
    """10 log10 of the sum of the blurry images' errors, divided by the sum of the restored images' errors, in dB."""
    margin: float | None
    """Half the width of the 95 % interval of the gain over clips, in dB; None for fewer than `FEWEST` clips."""

    @property
    def limits(self) -> str:
        """The limits of the range as text, such as `4 to 6` or `48+`."""
        return f"{self.low:g}+" if self.high == inf else f"{self.low:g} to {self.high:g}"

    @property
    def interval(self) -> tuple[float, float] | None:
        """The limits of the 95 % interval of the gain in dB, or None."""
        return None if self.margin is None else (self.gain - self.margin, self.gain + self.margin)


def gain_by_blur(results: Results) -> list[Gain]:
    """Return the gain of a network for each range of blur lengths that has tiles; empty if no blur length is known."""
    clips: dict[str, list[Floats]] = defaultdict(list)
    for image in results.images:
        if image.tiles:
            values = np.array([image.tiles.length, image.tiles.blurry, image.tiles.restored])
            clips[scene(results, image)].append(values)
    tiles = [np.concatenate(images, axis=1) for images in clips.values()]
    return [gain for low, high in pairwise(EDGES) if (gain := _gain(low, high, tiles))]


HEADINGS = ("network", "blur in pixels", "tiles", "clips", "gain dB", "95 % interval")


def rows_by_blur(group: Sequence[Results]) -> list[list[str]]:
    """Return the rows of a group's table by blur size, with the headings `HEADINGS`: a row per network and range."""
    return [[results.name, *_texts(gain)] for results in group for gain in gain_by_blur(results)]


def _texts(gain: Gain) -> list[str]:
    interval = "{:+.2f} to {:+.2f}".format(*gain.interval) if gain.interval else ""
    return [gain.limits, f"{gain.tiles:,}", str(gain.clips), f"{gain.gain:+.2f}", interval]


def without_lengths(group: Sequence[Results]) -> list[str]:
    """Return the names of the evaluations of a group that have no blur lengths."""
    return [results.name for results in group if not any(image.tiles for image in results.images)]


def _gain(low: float, high: float, tiles: list[Floats]) -> Gain | None:
    """Return the gain on the tiles (length, blurry error, restored error) of each clip that are in a range."""
    inside = [part for one in tiles if (part := one[:, (low <= one[0]) & (one[0] < high)]).size]
    if not inside:
        return None
    sums = np.array([[part.shape[1], *part.sum(axis=1)] for part in inside])  # (clips, 4)
    count, length, *_ = total = sums.sum(axis=0)
    return Gain(low, high, length / count, int(count), len(sums), _decibels(total), _margin(sums))


def _decibels(sums: Floats) -> float:
    count, _, blurry, restored = sums.tolist()
    return decibels(restored / count) - decibels(blurry / count)


def _margin(sums: Floats) -> float | None:
    """Return half the width of the 95 % interval by the jackknife over clips, with Student's t."""
    number = len(sums)
    if number < FEWEST:
        return None
    from scipy.special import stdtrit  # deferred: takes half a second to import

    without = np.array([_decibels(sums.sum(axis=0) - one) for one in sums])
    return float(stdtrit(number - 1, 0.975) * np.sqrt((number - 1) * without.var()))
