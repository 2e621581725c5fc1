"""What protocols measure: a data set says which pictures (`data/`) and names one of these measures."""

from collections.abc import Callable, Iterable, Sequence

from deblurzoo.kohler import best_match
from deblurzoo.metrics import Image, picture_psnr, picture_ssim, picture_ssim_matlab3d

Measure = Callable[[Sequence[Image], Iterable[Image]], list[dict[str, float]]]
"""From pictures of one scene and its sharp references, all uint8 (H, W, 3), to the named figures of each picture."""

UNCHANGED = 100.0
"""The PSNR in dB of pictures that differ nowhere, or by less than one step in all of a 720p frame."""


def plain(images: Sequence[Image], references: Iterable[Image]) -> list[dict[str, float]]:
    """Return `psnr`, `ssim` and `ssim_matlab3d` against the one reference: GOPRO, DVD, folders."""
    (sharp,) = references
    functions = {"psnr": picture_psnr, "ssim": picture_ssim, "ssim_matlab3d": picture_ssim_matlab3d}
    return [{name: function(image, sharp) for name, function in functions.items()} for image in images]


MEASURES: dict[str, Measure] = {"plain": plain, "kohler": best_match}


def do_no_harm_psnr(image: Image, sharp: Image) -> float:
    """Return the PSNR in dB of what a network made of a sharp picture against that picture, at most `UNCHANGED`."""
    return min(picture_psnr(image, sharp), UNCHANGED)
