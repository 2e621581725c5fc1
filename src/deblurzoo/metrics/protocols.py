"""Measures: the procedures that compute metrics. Each data set (`data/`) names its measure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from deblurzoo.media import Image
from deblurzoo.metrics import kohler, measured, metric
from deblurzoo.metrics.realblur import aligned_metrics

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


def realblur(images: Sequence[Image], references: Iterable[Image], names: Sequence[str]) -> list[Figures]:
    """Return the named metrics like `plain`, but align each image only once for `psnr_aligned` and `ssim_aligned`."""
    (sharp,) = references
    others = plain(images, [sharp], [name for name in names if name not in ALIGNED])
    aligned = [dict(zip(ALIGNED, aligned_metrics(image, sharp), strict=True)) for image in images]
    return [{name: (first | second)[name] for name in names} for first, second in zip(others, aligned, strict=True)]


PLAIN = ("psnr", "ssim", "ssim_matlab3d")
ALIGNED = ("psnr_aligned", "ssim_aligned")

MEASURES = {
    "plain": Measure(PLAIN, plain),
    "realblur": Measure((*PLAIN, *ALIGNED), realblur),
    "kohler": Measure(kohler.FIXED, kohler.best_match),
}
