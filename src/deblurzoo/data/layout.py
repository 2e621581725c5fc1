"""Image files of a clip, and their pairing."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from deblurzoo.data.frames import Clip, Kind
from deblurzoo.errors import DeblurzooError, unusable
from deblurzoo.media.images import ImageFile
from deblurzoo.media.kinds import is_lost_photo
from deblurzoo.media.naming import files, image_files, stem


@dataclass(frozen=True)
class ClipFiles:
    """The image files of one clip.

    Args:
        name: name of the clip, unique within its split.
        blur, sharp: paths of the blurry and the sharp images, in any order.
        frame: function that returns the frame name of a file. A blurry and a sharp image with the same frame name form
            a pair. The default is the file name without its suffix.
        unreadable: an error for each folder of the clip that cannot be read.
    """

    name: str
    blur: Sequence[Path]
    sharp: Sequence[Path]
    frame: Callable[[Path], str] = stem
    unreadable: Sequence[DeblurzooError] = ()


def listed(folder: Path, unreadable: list[DeblurzooError]) -> list[Path]:
    """Return the image files of a folder. If it cannot be read, add the error to `unreadable`."""
    try:
        return image_files(folder)
    except OSError as error:
        unreadable.append(unusable(error))
        return []


def files_of(name: str, blur: Path, sharp: Path, frame: Callable[[Path], str] = stem) -> ClipFiles:
    """Return the image files in the two folders of a clip.

    An unreadable folder raises its error only when the clip is used, so that `data check` reports all such folders.
    """
    unreadable: list[DeblurzooError] = []
    blurry, sharps = listed(blur, unreadable), listed(sharp, unreadable)
    if not unreadable:
        lost = _lost(blur, blurry, sharps, frame), _lost(sharp, sharps, blurry, frame)
        blurry, sharps = blurry + lost[0], sharps + lost[1]
    return ClipFiles(name, blurry, sharps, frame, unreadable)


def _lost(folder: Path, images: list[Path], others: list[Path], frame: Callable[[Path], str]) -> list[Path]:
    """Return the files of a folder that would complete the pairs of the other folder's images if they could be read.

    They count as images, so that reading them reports the reason. Otherwise, their counterparts would be unpaired.
    """
    unpaired = {frame(path) for path in others} - {frame(path) for path in images}
    return [path for path in files(folder) if frame(path) in unpaired and is_lost_photo(path)] if unpaired else []


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
