"""Where the pictures of a clip lie, and which belong together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deblurzoo.data.frames import Clip
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import ImageFile
from deblurzoo.media.naming import stem


@dataclass(frozen=True)
class ClipFiles:
    """The files of one clip.

    Args:
        name: of the clip; no other of its split has it.
        blur, sharp: its pictures, in any order.
        frame: gives the name that a blurry picture and its sharp partner have in common, by which they are paired; the
            file's name without its suffix unless said.
    """

    name: str
    blur: Sequence[Path]
    sharp: Sequence[Path]
    frame: Callable[[Path], str] = stem


@dataclass(frozen=True)
class Pairs:
    """The paired files of one clip in order: `blur[i]` and `sharp[i]` are frame `frames[i]`."""

    name: str
    frames: tuple[str, ...]
    blur: tuple[Path, ...]
    sharp: tuple[Path, ...]

    def clip(self) -> Clip:
        """Return the clip, whose pictures are read when they are needed."""
        return Clip(self.name, self.frames, tuple(map(ImageFile, self.blur)), tuple(map(ImageFile, self.sharp)))


def require_folder(key: str, root: Path | None, inside: str, layout: str) -> Path:
    """Return `root/inside` if it is a folder; else say which config key named it and what should be there."""
    if root is None:
        packed = key.replace("root", "packed")
        raise DeblurzooError(f"{key} is not set: give {key}=FOLDER with {layout}, or a pack of it as {packed}=FOLDER")
    folder = root / inside
    if not folder.is_dir():
        problem = "is not a folder" if not root.is_dir() else f"has no folder {inside}"
        raise DeblurzooError(f"{key}={root} {problem}: set {key} to a folder with {layout}")
    return folder
