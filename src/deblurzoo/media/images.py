"""Reading and writing of 8-bit RGB images."""

import functools
import io
import lzma
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile

import cv2
import kornia_rs
import numpy as np
import PIL.Image

from deblurzoo.errors import DeblurzooError, unusable
from deblurzoo.files import write_atomically
from deblurzoo.media import Image
from deblurzoo.media.encoded import AS_STORED, decode_cmyk_jpeg, decode_jpeg, orientation_of, upright, upright_size
from deblurzoo.media.kinds import DAMAGED, FORMATS, OWN_FORMATS, require_plausible

BAD_ARCHIVE = (
    *(BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, struct.error),
    *(RuntimeError, ValueError, LookupError, OverflowError),
)
"""Exceptions of zipfile for archives that are corrupt, encrypted (RuntimeError) or compressed by unknown methods."""
_END_OF_PNG = b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class Zipped:
    """An image in a zip archive, read without extracting the archive."""

    archive: Path
    member: str

    def __str__(self) -> str:
        return f"{self.archive}/{self.member}"

    def stored(self) -> tuple[str, int]:
        """Return the name of the image file and its uncompressed size in bytes."""
        try:
            return PurePosixPath(self.member).name, _opened(self.archive, os.getpid()).getinfo(self.member).file_size
        except BAD_ARCHIVE as error:
            raise self._unreadable(str(error)) from error

    def read(self) -> Image:
        """Return the image, see `read_image`."""
        try:
            return _decoded(self._bytes())
        except ValueError as error:
            raise self._unreadable(str(error)) from error

    def size(self) -> tuple[int, int]:
        """Return width and height, see `image_size`."""
        try:
            return _size(io.BytesIO(self._bytes()))
        except ValueError as error:
            raise self._unreadable(str(error)) from error

    def _bytes(self) -> bytes:
        try:
            return _opened(self.archive, os.getpid()).read(self.member)
        except BAD_ARCHIVE as error:
            raise self._unreadable(str(error)) from error

    def _unreadable(self, reason: str) -> DeblurzooError:
        return DeblurzooError(f"{self} cannot be read ({reason}): the archive is corrupt; download it again")


@functools.cache
def _opened(archive: Path, process: int) -> ZipFile:
    """Return an opened archive; it is cached per process, because forked processes would share the file position."""
    return ZipFile(archive)


@dataclass(frozen=True)
class ImageFile:
    """An image file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def stored(self) -> tuple[str, int]:
        """Return the name of the file and its size in bytes; 0 if it cannot be found, which reading it reports."""
        with suppress(OSError):
            return self.path.name, self.path.stat().st_size
        return self.path.name, 0

    def read(self) -> Image:
        """Return the image, see `read_image`."""
        return read_image(self.path)

    def size(self) -> tuple[int, int]:
        """Return width and height, see `image_size`."""
        return image_size(self.path)


def read_image(path: Path) -> Image:
    """Return an upright image (H, W, 3), RGB uint8 from 0 to 255. Data after the end of the image is ignored.

    Raises:
        DeblurzooError: the file is missing, corrupt, truncated or not an image.
    """
    try:
        return _decoded(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def image_size(path: Path) -> tuple[int, int]:
    """Return the width and height of the upright image.

    Only the header is read, which takes microseconds. Pixels are not checked.

    Raises:
        DeblurzooError: the file is missing or not an image.
    """
    try:
        with path.open("rb") as file:
            return _size(file)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


_MODES = {"L": "gray", "LA": "gray with transparency", "1": "black and white", "P": "of a palette", "F": "32-bit gray"}
"""Descriptions of Pillow's modes that are not RGB."""


def pixel_format(path: Path) -> str:
    """Return the format of an image's pixels from its header: `8-bit RGB`, or a format such as `16-bit` or `gray`.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not an image.
    """
    with path.open("rb") as file, _head(file) as head:
        # Pillow reads RGB of 16 bits as RGB of 8 bits; the decoder's arguments name the stored format.
        stored = str(getattr(head, "tile", ""))
        if ";16" in stored or head.mode.startswith("I"):
            return "16-bit" + (" gray" if head.mode.startswith("I") else "")
        return "8-bit RGB" if head.mode == "RGB" else _MODES.get(head.mode, head.mode)


def _size(file: BinaryIO) -> tuple[int, int]:
    with _head(file) as head:
        return upright_size(head)


@contextmanager
def _head(file: BinaryIO) -> Iterator[PIL.Image.Image]:
    """Open an image without decoding it; raise a ValueError if it is not an image or is implausibly large."""
    try:
        image = PIL.Image.open(file, formats=(*FORMATS, "TGA"))
    except PIL.Image.DecompressionBombError as error:
        raise ValueError("its header declares more pixels than any camera has") from error
    except DAMAGED as error:  # raised by Pillow for corrupt headers
        raise ValueError("not an image in a supported format") from error
    with image:
        yield image


def _decoded(data: bytes) -> Image:
    """Decode 8-bit RGB PNGs and JPEGs with kornia-rs, which is twice as fast as OpenCV; decode the rest with OpenCV.

    Raises:
        ValueError: the data is corrupt, truncated or not an image.
    """
    with _head(io.BytesIO(data)) as head:
        require_plausible(head, len(data))
        kind, mode, (width, height), orientation = head.format, head.mode, head.size, orientation_of(head)
    if kind in ("JPEG", "MPO"):  # MPO: a JPEG to which a phone appended smaller images
        image = decode_cmyk_jpeg(data) if mode == "CMYK" else decode_jpeg(data)
    else:
        if kind == "PNG" and data.rfind(_END_OF_PNG) < 0:
            raise ValueError("the PNG has no end chunk")
        usual = kind == "PNG" and mode == "RGB"
        image = _decoded_png(data, (height, width)) if usual else _decoded_slowly(data)
    return upright(image, orientation)


def _decoded_png(data: bytes, shape: tuple[int, int]) -> Image:
    try:
        image: Image = kornia_rs.io.decode_image_png_u8(data, shape, "rgb")
    except Exception:  # kornia-rs raises bare Exception for corrupt data, 16-bit data and transparent colours
        return _decoded_slowly(data)
    return image


def _decoded_slowly(data: bytes) -> Image:
    """Decode with OpenCV, or with Pillow if OpenCV does not read the format."""
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), AS_STORED)
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot decode it: {error.err}") from error
    if bgr is not None:
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    with _head(io.BytesIO(data)) as head:
        try:
            if head.format not in OWN_FORMATS and head.mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
                return np.array(head.convert("RGB"))  # writable, unlike np.asarray
        except DAMAGED as error:
            raise ValueError(f"its pixels are corrupt: {error}") from error
    raise ValueError("its pixels are corrupt or in an unsupported format")


def _unreadable(path: Path, error: OSError | ValueError) -> DeblurzooError:
    if isinstance(error, PermissionError):
        return unusable(error)
    state = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
    reason = error.strerror if isinstance(error, OSError) else error
    return DeblurzooError(f"{path} {state} ({reason}): copy it again; `deblurzoo data check` finds all such files")


def write_png(path: Path, image: Image) -> None:
    """Write (H, W, 3) RGB uint8 as a PNG, atomically."""
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise DeblurzooError(f"{path}: an image of shape {image.shape} cannot be encoded as PNG")
    write_atomically(path, data.tobytes())
