"""Measures: the procedures that compute metrics. Each data set (`data/`) names its measure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from deblurzoo.media import Image
from deblurzoo.metrics import kohler, measured, metric

Figures = dict[str, float]


@dataclass(frozen=True)
class Measure:
    """A procedure that computes metrics in an evaluation.

    Args:
        fixed: names of the metrics that are always measured.
        function: maps images of one scene, the sharp references of the scene (all uint8 (H, W, 3)) and metric names to
            the metric values of each image.
    """

    fixed: tuple[str, ...]
    function: Callable[[Sequence[Image], Iterable[Image], Sequence[str]], list[Figures]]

    def names(self, chosen: Sequence[str] | None) -> list[str]:
        """Return the names of the metrics to measure: the fixed metrics, then the chosen metrics.

        Raises:
            DeblurzooError: a chosen metric is unknown.
        """
        for name in chosen or ():
            metric(name)
        return list(dict.fromkeys([*self.fixed, *(chosen or ())]))


def plain(images: Sequence[Image], references: Iterable[Image], names: Sequence[str]) -> list[Figures]:
    """Return the named metrics of each image against the single reference of their scene."""
    (sharp,) = references
    return [{name: measured(name, image, sharp) for name in names} for image in images]


MEASURES = {
    "plain": Measure(("psnr", "ssim", "ssim_matlab3d"), plain),
    "kohler": Measure(kohler.FIXED, kohler.best_match),
}
