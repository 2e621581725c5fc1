"""REDS: Nah et al., "NTIRE 2019 Challenge on Video Deblurring and Super-Resolution: Dataset and Study", CVPRW 2019."""

from collections.abc import Mapping
from pathlib import Path

from deblurzoo.data.clips import ClipSource
from deblurzoo.data.frames import Clip
from deblurzoo.data.layout import ClipFiles, files_of, require_folder
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.naming import folders

_FOLDERS = {"train": "train", "test": "val"}
_BLUR = ("blur", "blur_comp", "blur_jpeg")


class Reds(ClipSource):
    """270 videos of 100 frames of 1280x720 pixels: 240 for training, and the 30 of the official validation set.

    Blur is the mean of many frames, interpolated between the frames of a high-speed camera. The sharp images of the
    official test set are not published.

    Args:
        root: a folder with `train/train_{blur,sharp}/NNN/NNNNNNNN.png` and `val/val_{blur,sharp}` with the same
            structure, as the official archives unpack.
        blur: `blur`, `blur_comp` (blur and MPEG compression, the NTIRE 2019 and 2020 tracks) or `blur_jpeg` (blur and
            JPEG compression, NTIRE 2021).
        protocol: selects the frames to restore in the validation set: `all` 3000 frames, or `val300`, the 300 frames
            whose number ends with 9. NAFNet's paper reports `val300` of `blur_jpeg`
            (github.com/megvii-research/NAFNet, scripts/data_preparation/reds.py).
        common_frames, packed: see `ClipSource`.
    """

    name = "reds"
    official: Mapping[str, Mapping[str, int]] = {
        split: dict.fromkeys((f"{number:03d}" for number in range(count)), 100)
        for split, count in (("train", 240), ("test", 30))
    }

    def __init__(
        self, root: str | None, blur: str, protocol: str, common_frames: int | None = None, packed: str | None = None
    ) -> None:
        super().__init__(common_frames, packed)
        if blur not in _BLUR:
            raise DeblurzooError(f"data.blur={blur} is not a blur of {self.name}: choose {', '.join(_BLUR)}")
        if protocol not in ("all", "val300"):
            raise DeblurzooError(f"data.protocol={protocol} is unknown for {self.name}: choose all or val300")
        self.root = Path(root) if root else None
        self.blur_folder, self.protocol = blur, f"{self.name}_{protocol}"

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the files of every clip of a split."""
        part = _FOLDERS[split]
        layout = f"{part}/{part}_{{{self.blur_folder},sharp}}/NNN/NNNNNNNN.png"
        blur, sharp = (
            require_folder(f"{self.key}.root", self.root, f"{part}/{part}_{kind}", layout)
            for kind in (self.blur_folder, "sharp")
        )
        return [files_of(clip.name, clip, sharp / clip.name) for clip in folders(blur)]

    def restored_frames(self, clip: Clip, split: str) -> set[str]:
        """Return the frames of a validation clip that the protocol restores; training uses every frame."""
        every_tenth = split == "test" and self.protocol.endswith("val300")
        return {frame for frame in clip.frames if not every_tenth or frame.endswith("9")}
