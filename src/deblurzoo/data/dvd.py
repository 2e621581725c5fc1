"""DVD: Su et al., "Deep Video Deblurring for Hand-held Cameras", CVPR 2017."""

from collections.abc import Mapping
from pathlib import Path

from deblurzoo.data.clips import ClipSource
from deblurzoo.data.frames import Clip
from deblurzoo.data.layout import ClipFiles, files_of, require_folder
from deblurzoo.errors import DeblurzooError

_TRAIN = {
    "720p_240fps_1": 100, "720p_240fps_3": 100, "720p_240fps_5": 100, "720p_240fps_6": 100, "C0036": 63, "C0041": 229,
    "GOPR9633": 35, "GOPR9636": 48, "GOPR9641": 137, "GOPR9642": 83, "GOPR9643": 97, "GOPR9645": 65, "GOPR9648": 88,
    "GOPR9652": 71, "IMG_0001": 100, "IMG_0004": 100, "IMG_0005": 100, "IMG_0008": 100, "IMG_0009": 41,
    "IMG_0010": 100, "IMG_0011": 100, "IMG_0012": 100, "IMG_0013": 100, "IMG_0014": 100, "IMG_0015": 100,
    "IMG_0017": 100, "IMG_0019": 100, "IMG_0022": 100, "IMG_0023": 100, "IMG_0024": 100, "IMG_0025": 100,
    "IMG_0026": 100, "IMG_0028": 100, "IMG_0029": 100, "IMG_0034": 100, "IMG_0035": 100, "IMG_0036": 100,
    "IMG_0038": 100, "IMG_0040": 100, "IMG_0041": 100, "IMG_0042": 100, "IMG_0043": 100, "IMG_0044": 100,
    "IMG_0045": 61, "IMG_0046": 100, "IMG_0047": 100, "IMG_0051": 100, "IMG_0053": 100, "IMG_0054": 100,
    "IMG_0055": 100, "IMG_0056": 100, "IMG_0058": 100, "IMG_0150": 50, "IMG_0151": 60, "IMG_0153": 120,
    "IMG_0155": 78, "IMG_0164": 46, "IMG_0173": 70, "IMG_0180": 50, "IMG_0183": 113, "IMG_0200": 103,
}  # fmt: skip
_TEST = dict.fromkeys(
    ["720p_240fps_2", "IMG_0003", "IMG_0021", "IMG_0030", "IMG_0031", "IMG_0032", "IMG_0033", "IMG_0037", "IMG_0039",
     "IMG_0049"], 100,
)  # fmt: skip
_SU30 = {2 + 95 * i // 29 for i in range(30)}
"""Frame numbers floor(linspace(2, 97, 30)), as in the authors' MATLAB code."""


class Dvd(ClipSource):
    """71 videos of 720p frames in `quantitative_datasets/VIDEO/{input,GT}/NNNNN.jpg`. Each video belongs to one split.

    Args:
        root: the folder that contains `quantitative_datasets`.
        protocol: selects the frames to restore in the ten test videos. `flow` selects frames 0 to 98 of each video (990
            in total), as in the FlowRNN paper. `su30` selects 30 frames of each video, and registers each result to its
            sharp image before measuring, as Köhler's benchmark and the authors of DVD do. `all` selects all 1000
            frames.
        common_frames, packed: see `ClipSource`.
    """

    name = "dvd"
    official: Mapping[str, Mapping[str, int]] = {"train": _TRAIN, "test": _TEST}
    blur_folder = "input"

    def __init__(
        self, root: str | None, protocol: str, common_frames: int | None = None, packed: str | None = None
    ) -> None:
        super().__init__(common_frames, packed)
        if protocol not in ("flow", "su30", "all"):
            raise DeblurzooError(f"data.protocol={protocol} is unknown for dvd: choose flow, su30 or all")
        self.root = Path(root) if root else None
        self.protocol = protocol
        self.measure = "kohler" if protocol == "su30" else "plain"

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the files of each official video of a split. Missing videos are skipped."""
        layout = "quantitative_datasets/VIDEO/{input,GT}/NNNNN.jpg"
        folder = require_folder(f"{self.key}.root", self.root, "quantitative_datasets", layout)
        return [
            files_of(video, folder / video / "input", folder / video / "GT")
            for video in self.official[split]
            if (folder / video).is_dir()
        ]

    def restored_frames(self, clip: Clip, split: str) -> set[str]:
        """Return the frames of a test video that the protocol restores; training uses every frame."""
        if split == "train" or self.protocol == "all":
            return set(clip.frames)
        wanted = _SU30 if self.protocol == "su30" else set(range(99))
        return {frame for frame in clip.frames if frame.isdecimal() and int(frame) in wanted}
