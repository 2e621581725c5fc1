"""A frame of a clip: a picture in a file or an archive, or one of a packed clip."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image


class Frame(Protocol):
    """A picture of a clip, wherever it lies; `str` says where."""

    def __hash__(self) -> int: ...

    def read(self) -> Image:
        """Return (H, W, 3) RGB uint8.

        Raises:
            DeblurzooError: the file is missing, truncated or of another kind.
        """

    def size(self) -> tuple[int, int]:
        """Return width and height without reading the pixels; raise as `read`, as far as the header tells."""

    def stored(self) -> tuple[str, int]:
        """Return name and size in bytes of the picture's file; of a packed frame, of the file it was packed from."""


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

    def read(self) -> Image:
        """Return a read-only view, of which only what is used is read from disk."""
        pixels = self.height * self.width
        return _bytes(self.file)[self.offset : self.offset + 3 * pixels].reshape(self.height, self.width, 3)

    def size(self) -> tuple[int, int]:
        """Return width and height."""
        return self.width, self.height

    def stored(self) -> tuple[str, int]:
        """Return name and size in bytes of the file that was packed."""
        return self.picture, self.picture_bytes


@dataclass(frozen=True)
class Clip:
    """Paired frames in order: `blur[i]` and `sharp[i]` are frame `frames[i]`."""

    name: str
    frames: tuple[str, ...]
    blur: tuple[Frame, ...]
    sharp: tuple[Frame, ...]


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
