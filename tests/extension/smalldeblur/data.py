"""Images in RealBlur's layout: scenes of several sizes, without video; names of blurry and sharp images differ."""

from pathlib import Path

from deblurzoo.data import ClipFiles, ClipSource, files_of, require_folder
from deblurzoo.media.naming import folders


class Real(ClipSource):
    """`SPLIT/SCENE/{blur/blur_N,gt/gt_N}.png`.

    Args:
        root: the folder with `train` and `test`.
        packed: as in `ClipSource`.
    """

    name = protocol = "real"
    blur_folder = "blur"
    consecutive = False

    def __init__(self, root: str | None, packed: str | None = None) -> None:
        super().__init__(packed=packed)
        self.root = Path(root) if root else None

    def clip_files(self, split: str) -> list[ClipFiles]:
        """List the scenes of `train` or `test`."""
        scenes = folders(require_folder("data.root", self.root, split, f"{split}/SCENE/{{blur,gt}}/"))
        return [files_of(s.name, s / "blur", s / "gt", frame=_number) for s in scenes]


def _number(path: Path) -> str:
    return path.stem.rpartition("_")[2]
