"""RealBlur: Rim et al., "Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms", ECCV 2020."""

from collections import Counter
from pathlib import Path

from deblurzoo.data.clips import ClipSource
from deblurzoo.data.layout import ClipFiles, require_folder
from deblurzoo.errors import DeblurzooError, first_line

_FOLDERS = {
    "J": "RealBlur-J_ECC_IMCORR_centroid_itensity_ref",
    "R": "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref",
}


_PAIRS = {"train": 3758, "test": 980}
"""The number of pairs of each split, for `J` and for `R`."""


class RealBlur(ClipSource):
    """4738 pairs of photos of 232 scenes, 3758 for training and 980 for testing. Each scene is a clip.

    Two cameras behind a beam splitter photograph a static scene with long and short exposure; the pairs are then
    aligned. `J` are the cameras' JPEGs, `R` are made from raw images, which are darker. Image sizes differ. The
    alignment leaves small differences of brightness and viewpoint: the authors align each result before measuring, see
    `deblurzoo.metrics.realblur`, and papers report these values.

    Args:
        root: a folder with `RealBlur-J_ECC_IMCORR_centroid_itensity_ref/SCENE/{blur/blur_N.png,gt/gt_N.png}` (for `R`:
            `RealBlur-R_BM3D_ECC_…`), and the authors' lists `RealBlur_J_{train,test}_list.txt`. A line of a list names
            a sharp and a blurry image.
        kind: `J` or `R`.
        packed: see `ClipSource`.
    """

    measure = "realblur"
    blur_folder = "blur"
    consecutive = False

    def __init__(self, root: str | None, kind: str, packed: str | None = None) -> None:
        super().__init__(packed=packed)
        if kind not in _FOLDERS:
            raise DeblurzooError(f"data.kind={kind} is not a kind of RealBlur: choose {' or '.join(_FOLDERS)}")
        self.root, self.kind = Path(root) if root else None, kind
        self.name = self.protocol = f"realblur_{kind.lower()}"
        if self.root and self.root.is_dir():  # counts per scene are in the authors' lists only
            self.official = {split: self._counts(split) for split in self.splits}

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the files of every scene of a split that are in the authors' list. Missing files are skipped."""
        scenes: dict[str, tuple[list[Path], list[Path]]] = {}
        for pair in self._listed(split):
            for kind, path in zip(scenes.setdefault(pair[1].parent.parent.name, ([], [])), pair, strict=True):
                kind += [path] if _may_exist(path) else []
        return [ClipFiles(scene, blur, sharp, _number) for scene, (sharp, blur) in scenes.items() if blur or sharp]

    def _counts(self, split: str) -> dict[str, int]:
        """Return the official number of pairs of each scene, and of the pairs that the list lacks."""
        counts = dict(Counter(blur.parent.parent.name for _, blur in self._listed(split)))
        lacking = _PAIRS[split] - sum(counts.values())
        return counts | ({f"not in {self._list(split)}": lacking} if lacking > 0 else {})

    def _list(self, split: str) -> str:
        """Return the name of the authors' list of a split."""
        return f"RealBlur_{self.kind}_{split}_list.txt"

    def _listed(self, split: str) -> list[tuple[Path, Path]]:
        """Return the sharp and the blurry image of every line of a list."""
        name = self._list(split)
        root = require_folder(f"{self.key}.root", self.root, "", f"{_FOLDERS[self.kind]} and {name}")
        try:
            lines = [line.split() for line in (root / name).read_text("utf-8").splitlines() if line.strip()]
            return [(root / sharp, root / blur) for sharp, blur in lines]
        except (OSError, ValueError) as error:
            raise DeblurzooError(
                f"{root / name} cannot be read ({first_line(error)}): copy the authors' list into {self.key}.root"
            ) from error


def _may_exist(path: Path) -> bool:
    """Whether a path is a file, or the system cannot tell: reading it then reports the system's reason."""
    try:
        return path.is_file()
    except OSError:
        return True


def _number(path: Path) -> str:
    """Return the frame name N of `blur_N.png` or `gt_N.png`."""
    return path.stem.rpartition("_")[2]
