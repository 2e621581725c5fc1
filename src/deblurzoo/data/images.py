"""Reading and writing 8-bit RGB pictures."""

import functools
import io
import os
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile, ZipFile

import cv2
import kornia_rs
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from deblurzoo.errors import DeblurzooError, is_utf8
from deblurzoo.files import write_atomically

Image = NDArray[np.uint8]

_FAST = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Zipped:
    """A picture in a zip archive, read from there."""

    archive: Path
    member: str

    def __str__(self) -> str:
        return f"{self.archive}/{self.member}"

    @property
    def stem(self) -> str:
        """The picture's name without its suffix."""
        return PurePosixPath(self.member).stem

    @property
    def nbytes(self) -> int:
        """Size in bytes of the picture's file, once unpacked."""
        return _opened(self.archive, os.getpid()).getinfo(self.member).file_size

    def read(self) -> Image:
        """Return what `read_image` does."""
        try:
            data = _opened(self.archive, os.getpid()).read(self.member)
        except (OSError, EOFError, BadZipFile, zlib.error, RuntimeError) as error:  # RuntimeError: an encrypted member
            raise self._unreadable(str(error)) from error
        try:
            with PIL.Image.open(io.BytesIO(data)):  # which refuses what claims more pixels than memory has
                bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except (PIL.Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
            raise self._unreadable("not a picture, or too large") from error
        if bgr is None:
            raise self._unreadable("its pixels are damaged")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def _unreadable(self, reason: str) -> DeblurzooError:
        return DeblurzooError(f"{self} cannot be read ({reason}): the archive is damaged; download it again")


@functools.cache
def _opened(archive: Path, process: int) -> ZipFile:
    """Return an archive with its list of members read, one for each process: a fork shares the place in the file."""
    return ZipFile(archive)


Picture = Path | Zipped


def read_image(path: Picture) -> Image:
    """Return a picture as (H, W, 3) RGB uint8, in the range 0 to 255.

    kornia-rs decodes 8-bit RGB PNG and JPEG twice as fast as OpenCV, which reads everything else.

    Raises:
        DeblurzooError: the file is missing, truncated or no picture.
    """
    if isinstance(path, Zipped):
        return path.read()
    picture_size(path)  # a small file may claim to hold more pixels than memory does
    image: NDArray[Any] | None = None
    reason = "not a picture in a known format"
    if path.suffix.lower() in _FAST:
        jpeg = _is_jpeg(path)
        try:
            image = _read_fast(path, jpeg)
        except ValueError as error:  # palette with alpha, CMYK and other kinds that it does not know
            reason = str(error)
        except Exception as error:  # it raises bare Exception for damage, and for PNGs of 1 bit
            reason = str(error)
            if jpeg:  # OpenCV would fill the rest with grey and say nothing
                raise _unreadable(path, reason) from error
        if jpeg and not _has_end_of_jpeg(path):
            raise _unreadable(path, "the JPEG stream has no end")
    if image is None or image.dtype != np.uint8 or image.shape[2] != 3:
        # It crashes on a str that is not UTF-8.
        bgr = cv2.imread(os.fsencode(path), cv2.IMREAD_COLOR)  # type: ignore[call-overload]
        if bgr is None:
            raise _unreadable(path, reason)
        image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return np.asarray(image, np.uint8)


def _read_fast(path: Path, jpeg: bool) -> NDArray[Any] | None:
    """Decode an 8-bit RGB PNG or JPEG; None: a PNG whose name kornia-rs cannot take, as it is not UTF-8."""
    if is_utf8(path):
        return kornia_rs.io.read_image(str(path))  # type: ignore[no-any-return]
    return kornia_rs.io.decode_image_jpegturbo(path.read_bytes(), "rgb") if jpeg else None


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height as the header says, in some microseconds; the pixels may still be damaged.

    Raises:
        DeblurzooError: the file is missing or no picture.
    """
    try:
        with PIL.Image.open(path) as picture:
            return picture.size
    except PIL.Image.DecompressionBombError as error:
        raise _unreadable(path, "its header claims more pixels than any camera has") from error
    except (OSError, SyntaxError, ValueError) as error:  # how Pillow tells of damaged heads
        raise _unreadable(path, "not a picture in a known format") from error


def _is_jpeg(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"\xff\xd8"
    except OSError as error:
        raise _unreadable(path, error.strerror or "unknown error") from error


def _has_end_of_jpeg(path: Path) -> bool:
    """Decoders fill a cut JPEG with grey and say nothing; its end marker is then missing."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1024))
        return b"\xff\xd9" in file.read()


def _unreadable(path: Path, reason: str) -> DeblurzooError:
    state = "cannot be read" if path.exists() else "does not exist"
    return DeblurzooError(f"{path} {state} ({reason}): copy it again; `deblurzoo data check` finds all such files")


def write_png(path: Path, image: Image) -> None:
    """Write (H, W, 3) RGB uint8 as a PNG, under a temporary name first."""
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise DeblurzooError(f"{path}: a picture of shape {image.shape} cannot be encoded as PNG")
    write_atomically(path, data.tobytes())
