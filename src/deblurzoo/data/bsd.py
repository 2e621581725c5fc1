"""BSD: Zhong et al., "Real-World Video Deblurring: A Benchmark Dataset and an Efficient Recurrent Neural Network",
IJCV 2022."""

from pathlib import Path

from deblurzoo.data.clips import ClipSource
from deblurzoo.data.layout import ClipFiles, require_folder
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.naming import folders, image_files

EXPOSURES = ("1ms8ms", "2ms16ms", "3ms24ms")


class Bsd(ClipSource):
    """Videos of 640x480 pixels, taken by two cameras behind a beam splitter: real blur.

    The name of a part states the exposures of the sharp and of the blurry camera. The folder `valid` is not used: the
    splits are `train` and `test`. The number of clips and of frames is not checked, because the authors' page,
    github.com/zzh-tech/ESTRNN, states it only in a picture.

    Args:
        root: a folder with `BSD_{exposures}/{train,test}/NNN/{Blur,Sharp}/RGB/NNNNNNNN.png`.
        exposures: `1ms8ms`, `2ms16ms` or `3ms24ms`.
        common_frames, packed: see `ClipSource`.
    """

    blur_folder = "Blur"

    def __init__(
        self, root: str | None, exposures: str, common_frames: int | None = None, packed: str | None = None
    ) -> None:
        super().__init__(common_frames, packed)
        if exposures not in EXPOSURES:
            raise DeblurzooError(f"data.exposures={exposures} is not a part of BSD: choose {', '.join(EXPOSURES)}")
        self.root = Path(root) if root else None
        self.exposures = exposures
        self.name = self.protocol = f"bsd_{exposures}"

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the files of every clip of a split."""
        inside = f"BSD_{self.exposures}/{split}"
        folder = require_folder(f"{self.key}.root", self.root, inside, f"{inside}/NNN/{{Blur,Sharp}}/RGB")
        return [
            ClipFiles(clip.name, image_files(clip / "Blur" / "RGB"), image_files(clip / "Sharp" / "RGB"))
            for clip in folders(folder)
        ]
