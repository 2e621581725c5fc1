"""HIDE: Shen et al., "Human-Aware Motion Deblurring", ICCV 2019."""

from collections.abc import Mapping
from pathlib import Path

from deblurzoo.data.clips import ClipSource
from deblurzoo.data.layout import ClipFiles, listed, require_folder
from deblurzoo.errors import DeblurzooError

_LAYOUT = "GT/NAME.png, train/NAME.png and test/{test-close-ups,test-long-shot}/NAME.png"
_BLUR = {"train": ("train",), "test": ("test/test-close-ups", "test/test-long-shot")}


class Hide(ClipSource):
    """8422 pairs of 1280x720 images of people, 6397 for training and 2025 for testing. Each split is one clip.

    A blurry image is the mean of 11 frames of a 240 fps camera, its sharp image the middle frame. Papers test networks
    on HIDE that were trained on GOPRO. The counts are from the authors' page, github.com/joanshen0508/HA_deblur.

    Args:
        root: the folder `HIDE_dataset` of the authors' archive. `GT` holds the sharp images of both splits.
        packed: see `ClipSource`.
    """

    name = "hide"
    protocol = "hide"
    blur_folder = "blur"
    consecutive = False
    independent = True
    official: Mapping[str, Mapping[str, int]] = {"train": {"train": 6397}, "test": {"test": 2025}}

    def __init__(self, root: str | None, packed: str | None = None) -> None:
        super().__init__(packed=packed)
        self.root = Path(root) if root else None

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the files of the single clip of a split."""
        root = require_folder(f"{self.key}.root", self.root, "", _LAYOUT)
        sharp = require_folder(f"{self.key}.root", root, "GT", _LAYOUT)
        unreadable: list[DeblurzooError] = []
        blur = [path for folder in _BLUR[split] for path in listed(root / folder, unreadable)]
        names = {path.stem for path in blur}
        own = [path for path in listed(sharp, unreadable) if path.stem in names]
        return [ClipFiles(split, blur, own, unreadable=unreadable)]
