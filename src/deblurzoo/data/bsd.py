"""BSD: Zhong et al., "Real-World Video Deblurring: A Benchmark Dataset and an Efficient Recurrent Neural Network",
IJCV 2022."""

from contextlib import suppress
from pathlib import Path

from deblurzoo.data.clips import ClipSource
from deblurzoo.data.layout import ClipFiles, files_of, require_folder
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.naming import folders

EXPOSURES = ("1ms8ms", "2ms16ms", "3ms24ms")

_CLIPS = {"train": (60, 100), "test": (20, 150)}
"""The number of clips of each split, and the number of frames of each clip."""


class Bsd(ClipSource):
    """Videos of 640x480 pixels, taken by two cameras behind a beam splitter: real blur.

    The name of a part states the exposures of the sharp and of the blurry camera. Each part has 60 clips of 100 frames
    for training, 20 clips of 100 frames for validation, which are not used, and 20 clips of 150 frames for testing. The
    counts are from the file lists BSD_*_train_val_test.json of github.com/stmrym/STDANet_modified; the authors'
    page, github.com/zzh-tech/ESTRNN, states them only in an image. Missing clips are numbered, because only their
    number is known.

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
        part = self.root / f"BSD_{exposures}" if self.root else None
        if part and part.is_dir():
            self.official = {split: _counts(part / split, *counts) for split, counts in _CLIPS.items()}

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the files of every clip of a split."""
        inside = f"BSD_{self.exposures}/{split}"
        folder = require_folder(f"{self.key}.root", self.root, inside, f"{inside}/NNN/{{Blur,Sharp}}/RGB")
        return [files_of(clip.name, clip / "Blur" / "RGB", clip / "Sharp" / "RGB") for clip in folders(folder)]


def _counts(split: Path, clips: int, frames: int) -> dict[str, int]:
    """Return the official number of frames of each clip of a split, by its name, or as `19 of 20` if it is missing."""
    names: list[str] = []
    with suppress(OSError):  # reported when the clips are listed
        names += [clip.name for clip in folders(split)][:clips]
    missing = [f"{number} of {clips}" for number in range(len(names) + 1, clips + 1)]
    return dict.fromkeys([*names, *missing], frames)
