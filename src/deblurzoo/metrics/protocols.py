"""What protocols measure: a data set says which pictures (`data/`) and names one of these measures."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from deblurzoo.media import Image
from deblurzoo.metrics import kohler, measured, metric

Figures = dict[str, float]


@dataclass(frozen=True)
class Measure:
    """A way to measure.

    Args:
        fixed: the figures that are always among those measured.
        function: from pictures of one scene, its sharp references (all uint8 (H, W, 3)) and names of metrics to the
            figures of each picture.
    """

    fixed: tuple[str, ...]
    function: Callable[[Sequence[Image], Iterable[Image], Sequence[str]], list[Figures]]

    def names(self, chosen: Sequence[str] | None) -> list[str]:
        """Return the names of what is measured: the fixed ones first, then the chosen ones.

        Raises:
            DeblurzooError: one is unknown.
        """
        for name in chosen or ():
            metric(name)
        return list(dict.fromkeys([*self.fixed, *(chosen or ())]))


def plain(images: Sequence[Image], references: Iterable[Image], names: Sequence[str]) -> list[Figures]:
    """Return the named figures of each picture against the one reference: GOPRO, DVD, folders."""
    (sharp,) = references
    return [{name: measured(name, image, sharp) for name in names} for image in images]


MEASURES = {
    "plain": Measure(("psnr", "ssim", "ssim_matlab3d"), plain),
    "kohler": Measure(kohler.FIXED, kohler.best_match),
}
