"""The mean difference of two networks, with a confidence interval over clips."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import NamedTuple

from deblurzoo.metrics import figure
from deblurzoo.reports.results import Results, scene

FEWEST_CLIPS = 6
"""Minimum number of clips for an interval."""


class Difference(NamedTuple):
    """The mean difference of a metric between two networks over clips. Photos count as clips."""

    mean: float
    """Mean over clips of the clips' mean differences."""
    margin: float | None
    """Half the width of the 95 % interval; None for fewer than `FEWEST_CLIPS` clips."""
    clips: int


def difference(first: Results, second: Results, name: str) -> Difference | None:
    """Return the difference of a metric, second minus first, over the images that both have; None if there is none.

    The interval is Student's t over the clips' means. Images of a clip are not independent, so they are averaged first.
    """
    before = {image.id: image.restored.get(name) for image in first.images}
    clips: dict[str, list[float]] = defaultdict(list)
    for image in second.images:
        one, other = before.get(image.id), image.restored.get(name)
        if one is not None and other is not None:
            clips[scene(second, image)].append(other - one)
    means = [fmean(values) for values in clips.values()]
    if not means:
        return None
    margin = quantile(len(means)) * stdev(means) / sqrt(len(means)) if len(means) >= FEWEST_CLIPS else None
    return Difference(fmean(means), margin, len(means))


def quantile(clips: int) -> float:
    """Return the 97.5 % quantile of Student's t for the mean of a number of clips."""
    from scipy.special import stdtrit  # deferred: takes half a second to import

    return float(stdtrit(clips - 1, 0.975))


def difference_lines(group: Sequence[Results], names: Sequence[str], of: str = "") -> list[str]:
    """Return a line for the difference of each metric if the group has exactly two networks, otherwise none.

    Args:
        group: results under the same conditions.
        names: names of the metrics.
        of: the beginning of each line, such as the name of the data set.
    """
    return list(_lines(group[0], group[1], names, of)) if len(group) == 2 else []


def _lines(first: Results, second: Results, names: Sequence[str], of: str) -> Iterator[str]:
    for name in names:
        if found := difference(first, second, name):
            shown = figure(name)
            low, high = found.mean - (found.margin or 0), found.mean + (found.margin or 0)
            mean, low_text, high_text = (f"{value:+.{shown.digits}f}" for value in (found.mean, low, high))
            interval = f"95 % interval {low_text} to {high_text} over {found.clips} clips"
            few = f"too few clips for an interval ({found.clips})"
            unit = f" {shown.unit}" if shown.unit else ""
            yield (
                f"{of}{second.name} minus {first.name}, {shown.heading}: {mean}{unit}, "
                f"{few if found.margin is None else interval}"
            )
