"""Decoding of JPEGs, and EXIF orientation.

Truncated JPEGs are rejected; common decoders fill their missing part with gray.
"""

import os
import re
from collections.abc import Iterator
from typing import Any

import cv2
import kornia_rs
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from deblurzoo.media import Image
from deblurzoo.media.kinds import DAMAGED

ORIENTATION = 274
"""EXIF tag of the orientation."""
AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_PNG = b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A JPEG marker, except restart markers. Within a scan, 0xFF may also be an escaped byte or padding."""
_END = b"\xff\xd9"
_UNFINISHED = re.compile(rb"(\xff+[\xd0-\xd7])*\xff*\Z")
"""Trailing restart markers and padding. They hold no pixels, and a trailing 0xFF could form a marker with the byte
that is appended to it."""
_MORE = b"\xaa" * 64 + b"".join(bytes([0xFF, 0xD0 + n]) + b"\xaa" * 64 for n in range(8))
"""Data to append to a scan. A decoder reads it, at once or after a restart marker, only if the scan is incomplete."""


def decode_jpeg(data: bytes) -> Image:
    """Return an RGB or gray JPEG in its stored orientation as (H, W, 3) RGB uint8; data after its end is ignored.

    Raises:
        ValueError: the JPEG is corrupt, is truncated (even if other data follows), or is neither RGB nor gray.
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
    """Decode with libjpeg-turbo, treating each warning as an error; other decoders only warn about truncation."""
    try:
        image: Image = kornia_rs.io.decode_image_jpegturbo(data, "rgb")
    except Exception as error:  # kornia-rs raises bare Exception
        raise ValueError("the JPEG is truncated or corrupt") from error
    return image


def _without_padding(scans: bytes) -> Iterator[bytes]:
    """Yield `scans`, the data before the end marker, without some trailing bytes, because some cameras pad scans."""
    padded = len(scans) - len(scans.rstrip(scans[-1:]))
    yield from (scans[:-count] for count in sorted({*range(1, 9), *range(max(1, padded - 2), padded + 1)}))


def decode_cmyk_jpeg(data: bytes) -> Image:
    """Return a CMYK JPEG in its stored orientation as (H, W, 3) RGB uint8.

    Only OpenCV decodes CMYK, and it fills the missing part of a truncated file. To detect truncation, data is added
    before the end marker: it changes pixels only if the scan is incomplete.

    Raises:
        ValueError: the JPEG is corrupt or truncated.
    """
    scans = _UNFINISHED.sub(b"", data[: _end_of_jpeg(data)])
    image, with_more = (cv2.imdecode(np.frombuffer(scans + more + _END, np.uint8), AS_STORED) for more in (b"", _MORE))
    if image is None or with_more is None or not np.array_equal(image, with_more):
        raise ValueError("the JPEG is truncated or corrupt")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _end_of_jpeg(data: bytes) -> int:
    """Return the position of the end marker; segments are skipped by their lengths, and scans are searched.

    Raises:
        ValueError: the JPEG has no end marker.
    """
    position = len(_END)
    while marker := _MARKER.search(data, position):
        if marker.group() == _END:
            return marker.start()
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    raise ValueError("the JPEG has no end marker")


def orientation_of(picture: PIL.Image.Image) -> int:
    """Return the EXIF orientation (1 to 8) that must be applied to decoded pixels, without decoding them.

    The result is 1 for TIFF, because decoders already apply its orientation, and 1 if EXIF is corrupt.
    """
    if picture.format == "TIFF":
        return 1
    try:
        if picture.format == "PNG" and "exif" not in picture.info and (behind := _exif_behind_pixels(picture)):
            picture.info["exif"] = behind
        # PngImageFile.getexif would decode the whole image to find EXIF after the pixels.
        found = PIL.Image.Image.getexif(picture).get(ORIENTATION, 1)
    except DAMAGED:
        return 1
    return int(found) if found in range(1, 9) else 1


def _exif_behind_pixels(picture: PIL.Image.Image) -> bytes | None:
    """Return the EXIF chunk after the pixels of a PNG; None if the PNG has no such chunk or its file is closed."""
    if (file := getattr(picture, "fp", None)) is None:
        return None
    place = file.tell()
    file.seek(len(_PNG))
    try:
        while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf":
                return bytes(file.read(length))
            file.seek(length + 4, os.SEEK_CUR)  # skips the chunk and its checksum
    finally:
        file.seek(place)
    return None


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels (H, W, C) rotated and mirrored according to an EXIF orientation, contiguous in memory."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def upright_size(picture: PIL.Image.Image) -> tuple[int, int]:
    """Return the width and height that an opened image has after its EXIF orientation is applied."""
    width, height = picture.size
    return (height, width) if orientation_of(picture) >= 5 else (width, height)
