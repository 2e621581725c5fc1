"""A frame of a clip: a picture in a file or an archive, or one of a packed clip. All of them are read here alone."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.media.images import Picture, Zipped, picture_size, read_image


@dataclass(frozen=True)
class PackedFrame:
    """`height` x `width` pixels from byte `offset` of the array in a .npy file.

    `picture` and `picture_bytes` are name and size of the file that was packed.
    """

    file: Path
    offset: int
    height: int
    width: int
    picture: str
    picture_bytes: int

    def __str__(self) -> str:
        return f"{self.file} ({self.picture})"


Frame = Picture | PackedFrame


@dataclass(frozen=True)
class Clip:
    """Paired frames in order: `blur[i]` and `sharp[i]` are frame `frames[i]`."""

    name: str
    frames: tuple[str, ...]
    blur: tuple[Frame, ...]
    sharp: tuple[Frame, ...]


def read_frame(frame: Frame) -> Image:
    """Return (H, W, 3) RGB uint8; of a packed frame a read-only view, of which only what is used is read from disk.

    Raises:
        DeblurzooError: the file is missing, truncated or of another kind.
    """
    if not isinstance(frame, PackedFrame):
        return read_image(frame)
    shape = (frame.height, frame.width, 3)
    return _bytes(frame.file)[frame.offset : frame.offset + frame.height * frame.width * 3].reshape(shape)


def frame_size(frame: Frame) -> tuple[int, int]:
    """Return width and height without reading the pixels; raise as `read_frame`, as far as the header tells."""
    if isinstance(frame, PackedFrame):
        return frame.width, frame.height
    if isinstance(frame, Zipped):
        return frame.size()
    return picture_size(frame)


def stored(frame: Frame) -> tuple[str, int]:
    """Return name and size in bytes of the picture's file; of a packed frame, those of the file it was packed from."""
    if isinstance(frame, PackedFrame):
        return frame.picture, frame.picture_bytes
    if isinstance(frame, Zipped):
        return PurePosixPath(frame.member).name, frame.nbytes
    return frame.name, frame.stat().st_size


def _bytes(file: Path) -> Image:
    """Return all bytes of a packed array in a row; a file is mapped into memory once per process."""
    try:
        status = file.stat()
        return _map(file, (status.st_dev, status.st_ino, status.st_mtime_ns))
    except (OSError, ValueError, EOFError) as error:
        raise DeblurzooError(
            f"{file} cannot be read ({error}): `deblurzoo data check … data.packed=DIR` finds all such files"
        ) from error


@cache
def _map(file: Path, _identity: tuple[int, int, int]) -> Image:
    """Map a file; another one of its name, packed anew or in another folder, has another identity."""
    array: Image = np.load(file, mmap_mode="r").view(np.ndarray).reshape(-1)
    return array
