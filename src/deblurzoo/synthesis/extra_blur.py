"""Additional blur for pairs with little blur: the SVRNN paper's augmentation of the DVD data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import ConfigDict, Field

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Floats, Image
from deblurzoo.media.naming import image_files
from deblurzoo.media.photos import read_photo
from deblurzoo.synthesis.motion import hand_shake, motion_kernel, strange_patch

SUBFRAMES = 64
"""Number of points of a motion path."""


@dataclass(frozen=True)
class ExtraBlur:
    """Additional blur: motion blur of the whole image, or a moving object in the foreground.

    Each sample gets one of these two kinds, with equal probability. In the paper (section 3.3), half of the DVD images
    get the first kind and half the second kind, with at most 20 pixels of motion. The paper's code does not contain
    this augmentation; we chose the kernels, and the sizes and positions of objects. The workers draw the blur, and
    `data.degrade` adds it on the device.

    Args:
        datasets: names of the data sets that are augmented.
        max_length: maximum length of the motion path in pixels; the length is drawn from [1, max_length].
        path: `shake` for a random camera shake, `line` for straight motion.
        objects: a folder of PNGs with an alpha channel; the paper uses objects of Caltech-101, cut out along their
            annotations. None uses round patches of the image itself, with permuted colour channels.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    datasets: tuple[str, ...]
    max_length: Annotated[float, Field(ge=1)] = 20.0
    path: Literal["shake", "line"] = "shake"
    objects: str | None = None

    def __post_init__(self) -> None:
        key = "datamodule.augmentation.extra_blur"
        if self.objects is not None and not _cutouts(Path(self.objects)):
            raise DeblurzooError(f"{key}.objects={self.objects} has no PNGs: choose a folder of object PNGs, or null")

    @property
    def margin(self) -> int:
        """Width in pixels of the margin around a crop from which blur can reach into the crop."""
        return int(np.ceil(self.max_length)) + 1

    def draw(self, sharp: Image, seed: int) -> tuple[Floats, Floats | None]:
        """Return a blur kernel for a sharp image (H, W, 3), uint8, and the object that it moves, see `foreground`.

        Without an object, the kernel blurs the whole image.
        """
        rng = np.random.default_rng(seed)
        if rng.random() < 0.5:
            return self.kernel(rng), None
        layer = self.foreground(rng, sharp.astype(np.float32))
        return self.kernel(rng), layer

    def kernel(self, rng: np.random.Generator) -> Floats:
        """Return a random blur kernel."""
        length = rng.uniform(1, self.max_length)
        if self.path == "shake":
            return motion_kernel(hand_shake(rng, SUBFRAMES, SUBFRAMES, length).shift)
        angle = rng.uniform(0, np.pi)
        return motion_kernel(np.linspace(0, length, SUBFRAMES)[:, None] * [np.cos(angle), np.sin(angle)])

    def foreground(self, rng: np.random.Generator, sharp: Floats) -> Floats:
        """Return a randomly placed object, (H, W, 4): RGB in [0, 255] premultiplied by opacity, and opacity in [0, 1].

        H and W include the margins. The object's longer side is 0.2 to 0.6 times the shorter side of the image without
        margins.
        """
        height, width = sharp.shape[:2]
        inside = np.array([width, height]) - 2 * self.margin
        patch = self._patch(rng, sharp, max(2, int(min(inside) * rng.uniform(0.2, 0.6))))
        centre = self.margin + rng.uniform(0, 1, 2) * inside
        x, y = centre - np.array([patch.shape[1], patch.shape[0]]) / 2
        placed = cv2.warpAffine(patch, np.array([[1, 0, x], [0, 1, y]]), (width, height))
        return np.asarray(placed, np.float32)

    def _patch(self, rng: np.random.Generator, sharp: Floats, side: int) -> Floats:
        """Return an object (h, w, 4) whose longer side is `side`: premultiplied RGB in [0, 255], and opacity."""
        if self.objects is None:
            patch = strange_patch(rng, sharp, side)
            patch[..., :3] *= patch[..., 3:]
            return patch
        paths = _cutouts(Path(self.objects))
        cutout = _read_cutout(paths[rng.integers(len(paths))])
        factor = side / max(cutout.shape[:2])
        size = (max(1, round(cutout.shape[1] * factor)), max(1, round(cutout.shape[0] * factor)))
        return np.asarray(cv2.resize(cutout, size, interpolation=cv2.INTER_AREA), np.float32)


def _cutouts(folder: Path) -> list[Path]:
    """Return the PNGs of a folder in natural order."""
    return [path for path in image_files(folder) if path.suffix.lower() == ".png"]


def _read_cutout(path: Path) -> Floats:
    """Return an 8-bit PNG with an alpha channel as premultiplied RGB in [0, 255], and opacity in [0, 1]."""
    pixels = read_photo(path).pixels
    if pixels.dtype != np.uint8 or pixels.shape[2] != 4:
        raise DeblurzooError(f"{path} is not an 8-bit PNG with alpha channel: cut the object out, or remove the file")
    rgba = pixels.astype(np.float32)
    rgba[..., 3] /= 255
    rgba[..., :3] *= rgba[..., 3:]  # before the resizing, so that transparent pixels contribute no colour
    return rgba
