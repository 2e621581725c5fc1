"""Encoded pictures: JPEGs, of which decoders fill with gray what is cut off, and EXIF's orientation."""

import os
import re
import struct
from collections.abc import Iterator
from typing import Any

import cv2
import kornia_rs
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from deblurzoo.media import Image

ORIENTATION = 274
"""EXIF's tag."""
AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_DAMAGED_EXIF = (OSError, SyntaxError, ValueError, LookupError, TypeError, ArithmeticError, struct.error)
_PNG = b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A JPEG's marker; within a scan 0xFF is also escaped, a restart marker or filling."""
_END = b"\xff\xd9"
_UNFINISHED = re.compile(rb"(\xff+[\xd0-\xd7])*\xff*\Z")
"""What may stand before the end, would make a marker of data behind it, and has no pixels."""
_MORE = b"\xaa" * 64 + b"".join(bytes([0xFF, 0xD0 + n]) + b"\xaa" * 64 for n in range(8))
"""What a decoder takes that lacks data, at once or from a restart marker on."""


def decode_jpeg(data: bytes) -> Image:
    """Return a JPEG in RGB or gray as it is stored, (H, W, 3) RGB uint8; what follows its end is ignored.

    Raises:
        ValueError: it is damaged or cut, whatever has been put behind the cut; or of other colours.
    """
    try:
        return _decode_strictly(data)
    except ValueError:
        end = _end_of_jpeg(data)
        for scans in _without_padding(data[:end]):
            try:
                return _decode_strictly(scans + _END)
            except ValueError:
                continue
        raise


def _decode_strictly(data: bytes) -> Image:
    """Decode with libjpeg-turbo, to which any warning is an error: other decoders pass over those of a cut."""
    try:
        image: Image = kornia_rs.io.decode_image_jpegturbo(data, "rgb")
    except Exception as error:  # it raises bare Exception
        raise ValueError("the JPEG is cut or damaged") from error
    return image


def _without_padding(scans: bytes) -> Iterator[bytes]:
    """Yield a JPEG without its end, and without some bytes that cameras may have put before that."""
    padded = len(scans) - len(scans.rstrip(scans[-1:]))
    yield from (scans[:-count] for count in sorted({*range(1, 9), *range(max(1, padded - 2), padded + 1)}))


def decode_cmyk_jpeg(data: bytes) -> Image:
    """Return a JPEG in CMYK as `decode_jpeg` does, which only OpenCV decodes: it fills what is cut off.

    Raises:
        ValueError: it is cut: then data put before its end change pixels.
    """
    scans = _UNFINISHED.sub(b"", data[: _end_of_jpeg(data)])
    image, with_more = (cv2.imdecode(np.frombuffer(scans + more + _END, np.uint8), AS_STORED) for more in (b"", _MORE))
    if image is None or with_more is None or not np.array_equal(image, with_more):
        raise ValueError("the JPEG is cut or damaged")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _end_of_jpeg(data: bytes) -> int:
    """Return where the end marker is: segments are walked over by their lengths, scans are searched.

    Raises:
        ValueError: there is none.
    """
    position = len(_END)
    while marker := _MARKER.search(data, position):
        if marker.group() == _END:
            return marker.start()
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    raise ValueError("the JPEG has no end")


def orientation_of(picture: PIL.Image.Image) -> int:
    """Return how the pixels of an opened picture are still to be turned, 1 to 8 as EXIF has it, without decoding them.

    It is 1 for TIFF, which decoders turn by themselves, and for EXIF that cannot be read.
    """
    if picture.format == "TIFF":
        return 1
    try:
        if picture.format == "PNG" and "exif" not in picture.info and (behind := _exif_behind_pixels(picture)):
            picture.info["exif"] = behind
        # PngImageFile's own method decodes the whole picture to look for EXIF behind the pixels.
        found = PIL.Image.Image.getexif(picture).get(ORIENTATION, 1)
    except _DAMAGED_EXIF:
        return 1
    return int(found) if found in range(1, 9) else 1


def _exif_behind_pixels(picture: PIL.Image.Image) -> bytes | None:
    """Return the EXIF that stands behind the pixels of a PNG; None if there is none, or the file is closed."""
    if (file := getattr(picture, "fp", None)) is None:
        return None
    place = file.tell()
    file.seek(len(_PNG))
    try:
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf":
                return bytes(file.read(length))
            file.seek(length + 4, os.SEEK_CUR)  # and the checksum
    finally:
        file.seek(place)
    return None


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return (H, W, C) turned and mirrored as EXIF's orientation says, contiguous in memory."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def upright_size(picture: PIL.Image.Image) -> tuple[int, int]:
    """Return width and height of an opened picture when it stands upright."""
    width, height = picture.size
    return (height, width) if orientation_of(picture) >= 5 else (width, height)
