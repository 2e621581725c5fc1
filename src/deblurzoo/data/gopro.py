"""GOPRO_Large: Nah, Kim, Lee, "Deep Multi-scale CNN for Dynamic Scene Deblurring", CVPR 2017."""

from collections.abc import Mapping
from pathlib import Path

from deblurzoo.data.clips import ClipSource
from deblurzoo.data.layout import ClipFiles, files_of, require_folder
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.naming import folders
from deblurzoo.synthesis.motion import Motion

_TRAIN = {
    "GOPR0372_07_00": 100, "GOPR0372_07_01": 75, "GOPR0374_11_00": 150, "GOPR0374_11_01": 80,
    "GOPR0374_11_02": 100, "GOPR0374_11_03": 48, "GOPR0378_13_00": 110, "GOPR0379_11_00": 100,
    "GOPR0380_11_00": 60, "GOPR0384_11_01": 100, "GOPR0384_11_02": 100, "GOPR0384_11_03": 100,
    "GOPR0384_11_04": 100, "GOPR0385_11_00": 100, "GOPR0386_11_00": 100, "GOPR0477_11_00": 80,
    "GOPR0857_11_00": 100, "GOPR0868_11_01": 100, "GOPR0868_11_02": 100, "GOPR0871_11_01": 100,
    "GOPR0881_11_00": 100, "GOPR0884_11_00": 100,
}  # fmt: skip
_TEST = {
    "GOPR0384_11_00": 100, "GOPR0384_11_05": 100, "GOPR0385_11_01": 100, "GOPR0396_11_00": 100,
    "GOPR0410_11_00": 134, "GOPR0854_11_00": 100, "GOPR0862_11_00": 77, "GOPR0868_11_00": 100,
    "GOPR0869_11_00": 100, "GOPR0871_11_00": 100, "GOPR0881_11_01": 100,
}  # fmt: skip


class Gopro(ClipSource):
    """1280x720 clips from a 240 fps camera.

    In the clip `GOPRaaaa_yy_zz`, each blurry image is the mean of yy frames, and its sharp image is the middle frame.

    Args:
        root: a folder with `train/CLIP/{blur,blur_gamma,sharp}/NNNNNN.png`, and `test` with the same structure.
        blur: `blur` for the mean of the stored frames, `blur_gamma` for the mean in linear light (gamma 2.2). The
            papers of SVRNN, SRN and FlowRNN use `blur`. Testing on `blur_gamma` instead lowers PSNR by about 3 dB.
        common_frames, packed: see `ClipSource`.
    """

    name = "gopro"
    writer = ""
    """Command that writes a folder of this layout, if there is one."""
    official: Mapping[str, Mapping[str, int]] = {"train": _TRAIN, "test": _TEST}

    def __init__(
        self, root: str | None, blur: str, common_frames: int | None = None, packed: str | None = None
    ) -> None:
        super().__init__(common_frames, packed)
        if blur not in ("blur", "blur_gamma"):
            raise DeblurzooError(f"data.blur={blur} is not a blur folder of {self.name}: choose blur or blur_gamma")
        self.root = Path(root) if root else None
        self.blur_folder = blur
        self.protocol = self.name

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the files of every clip of a split."""
        layout = f"{split}/CLIP/{{{self.blur_folder},sharp}}/NNNNNN.png"
        if self.writer:
            layout += f", written by `{self.writer}`"
        folder = require_folder(f"{self.key}.root", self.root, split, layout)
        return [files_of(clip.name, clip / self.blur_folder, clip / "sharp") for clip in folders(folder)]

    def motion_file(self, kind: Motion, split: str, clip: str, frame: str) -> Path | None:
        """Return a file that `deblurzoo data toy --flow` or `deblurzoo synthesize` writes."""
        file = self.root / split / clip / kind / f"{frame}.npy" if self.root else None
        return file if file and file.is_file() else None


class Toy(Gopro):
    """Clips written by `deblurzoo data toy`, in GOPRO's layout."""

    name = "toy"
    writer = "deblurzoo data toy --out FOLDER"
    official: Mapping[str, Mapping[str, int]] = {}


class Synthesized(Toy):
    """Clips written by `deblurzoo synthesize` from a user's videos and photos, in GOPRO's layout."""

    name = "synthesized"
    writer = "deblurzoo synthesize SOURCE --out FOLDER"
