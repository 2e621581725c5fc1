"""Image files of a clip, and their pairing."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from deblurzoo.data.frames import Clip, Kind
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import ImageFile
from deblurzoo.media.naming import stem


@dataclass(frozen=True)
class ClipFiles:
    """The image files of one clip.

    Args:
        name: name of the clip, unique within its split.
        blur, sharp: paths of the blurry and the sharp images, in any order.
        frame: function that returns the frame name of a file. A blurry and a sharp image with the same frame name form
            a pair. The default is the file name without its suffix.
    """

    name: str
    blur: Sequence[Path]
    sharp: Sequence[Path]
    frame: Callable[[Path], str] = stem


@dataclass(frozen=True)
class Pairs:
    """The paired image files of one clip in order: `blur[i]` and `sharp[i]` are the images of frame `frames[i]`."""

    name: str
    frames: tuple[str, ...]
    blur: tuple[Path, ...]
    sharp: tuple[Path, ...]

    def of(self, kind: Kind) -> tuple[Path, ...]:
        """Return the blurry or the sharp images."""
        return self.blur if kind == "blur" else self.sharp

    def without(self, frames: Container[str]) -> "Pairs":
        """Return the clip without some frames."""
        pairs = zip(self.frames, self.blur, self.sharp, strict=True)
        names, blur, sharp = zip(*(pair for pair in pairs if pair[0] not in frames), strict=True)
        return Pairs(self.name, names, blur, sharp)

    def clip(self) -> Clip:
        """Return the clip, whose images are read on demand."""
        return Clip(self.name, self.frames, tuple(map(ImageFile, self.blur)), tuple(map(ImageFile, self.sharp)))


def require_folder(key: str, root: Path | None, inside: str, layout: str) -> Path:
    """Return the folder `root/inside`; raise a DeblurzooError that states `key` and `layout` if it does not exist."""
    if root is None:
        packed = key.replace("root", "packed")
        raise DeblurzooError(f"{key} is not set: set {key}=FOLDER with {layout}, or {packed}=FOLDER with its pack")
    folder = root / inside
    if not folder.is_dir():
        problem = "is not a folder" if not root.is_dir() else f"has no folder {inside}"
        raise DeblurzooError(f"{key}={root} {problem}: set {key} to a folder with {layout}")
    return folder
