"""Options of blur formation and toy data. This module imports no heavy dependencies."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from deblurzoo.errors import DeblurzooError

CAMERA_GAMMA = 2.2
"""Gamma of the camera response that GOPRO assumes (Nah et al., CVPR 2017, section 2.1)."""

_BOUNDS = {
    **dict.fromkeys(("train_clips", "test_clips", "frames"), (1, 100_000)),
    **dict.fromkeys(("height", "width"), (16, 4096)),
    **dict.fromkeys(("min_blur", "max_blur"), (0, 256)),
}
"""Smallest and largest values of the options of toy data."""

Response = Annotated[float, Field(gt=0, le=10)] | Literal["srgb"] | None
"""Camera response: the mapping from light x in [0, 1] to the stored value.

None maps to x, a number g in (0, 10] to x^(1/g), and `srgb` is the response of IEC 61966-2-1.
"""


@dataclass(frozen=True)
class ToyOptions:
    """Options of the toy data set; the same options give identical files.

    Args:
        seed: random seed.
        train_clips, test_clips: number of clips per split.
        frames: number of consecutive blurry frames per clip.
        height, width: size of the frames in pixels.
        min_blur, max_blur: range of the mean path length per exposure in pixels, of the camera and of moving objects.
        flow: whether to write the true flow from each sharp frame to the next, `flow/NNNNNN.npy` (2, H, W) float32.
    """

    seed: int = 0
    train_clips: int = 240
    test_clips: int = 16
    frames: int = 3
    height: int = 160
    width: int = 224
    min_blur: float = 4.0
    max_blur: float = 7.0
    flow: bool = False

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            if not least <= (value := getattr(self, name)) <= most:
                raise DeblurzooError(f"{name}={value} of the toy data must be from {least} to {most}")
        if self.min_blur > self.max_blur:
            raise DeblurzooError(f"min_blur={self.min_blur} of the toy data must not exceed max_blur={self.max_blur}")
