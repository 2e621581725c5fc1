"""Frames of a clip: images in files, archives or packs."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image

Kind = Literal["blur", "sharp"]
"""The blurry or the sharp images of a clip."""


class Frame(Protocol):
    """An image of a clip, read on demand. `str(frame)` returns the location of the image."""

    def __hash__(self) -> int: ...

    def read(self) -> Image:
        """Return the image, (H, W, 3) RGB uint8.

        Raises:
            DeblurzooError: the file is missing, truncated, or not an image.
        """

    def size(self) -> tuple[int, int]:
        """Return the width and height from the file header; raise a DeblurzooError if the header is invalid."""

    def stored(self) -> tuple[str, int]:
        """Return the name of the image file and its size in bytes; for a packed frame, of the original image file."""


@dataclass(frozen=True)
class PackedFrame:
    """An image of `height` x `width` pixels at byte `offset` of the array in a .npy file.

    `picture` and `picture_bytes` are the name and the size of the original image file.
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
        """Return a read-only memory-mapped view of the image. Only accessed pixels are read from disk."""
        pixels = self.height * self.width
        return _bytes(self.file)[self.offset : self.offset + 3 * pixels].reshape(self.height, self.width, 3)

    def size(self) -> tuple[int, int]:
        """Return width and height."""
        return self.width, self.height

    def stored(self) -> tuple[str, int]:
        """Return the name of the original image file and its size in bytes."""
        return self.picture, self.picture_bytes


@dataclass(frozen=True)
class UnreadablePhoto:
    """A photo that the pack in `folder` lacks, because it could not be read when it was packed.

    Training replaces it by the next photo, exactly as if the folder of photos was read. `dimensions` are width and
    height from its header, or None if the header is invalid.
    """

    folder: Path
    picture: str
    picture_bytes: int
    dimensions: tuple[int, int] | None

    def __str__(self) -> str:
        return f"{self.folder} ({self.picture})"

    def read(self) -> Image:
        """Raise a DeblurzooError."""
        raise DeblurzooError(f"{self} could not be read when it was packed: copy the photo and pack again")

    def size(self) -> tuple[int, int]:
        """Return width and height; raise a DeblurzooError if the header was invalid."""
        if self.dimensions is None:
            self.read()
        assert self.dimensions is not None
        return self.dimensions

    def stored(self) -> tuple[str, int]:
        """Return the name of the file and its size in bytes."""
        return self.picture, self.picture_bytes


@dataclass(frozen=True)
class Clip:
    """Paired frames in order: `blur[i]` and `sharp[i]` are the images of frame `frames[i]`."""

    name: str
    frames: tuple[str, ...]
    blur: tuple[Frame, ...]
    sharp: tuple[Frame, ...]


def _bytes(file: Path) -> Image:
    """Return a packed array as flat bytes. Each file is memory-mapped once per process."""
    try:
        status = file.stat()
        return _map(file, (status.st_dev, status.st_ino, status.st_mtime_ns))
    except (OSError, ValueError, EOFError) as error:
        raise DeblurzooError(
            f"{file} cannot be read ({error}): `deblurzoo data check … data.packed=DIR` lists all unreadable files"
        ) from error


@cache
def _map(file: Path, _identity: tuple[int, int, int]) -> Image:
    """Return a memory-mapped file. The cache also depends on the file's identity: a replaced file is mapped again."""
    array: Image = np.load(file, mmap_mode="r").view(np.ndarray).reshape(-1)
    return array
