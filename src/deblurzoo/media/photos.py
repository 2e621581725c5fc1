"""Reading and writing of photos: 8-bit or 16-bit, gray or colour, with alpha channel, colour profile and EXIF."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import tifffile
from PIL import Image

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import replace_atomically
from deblurzoo.media import Pixels
from deblurzoo.media.encoded import decode_jpeg, orientation_of, upright

Image.MAX_IMAGE_PIXELS = 2**30  # OpenCV's limit. Pillow's default limit rejects photos of 200 megapixels.

_MODES = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "P": "RGB", "PA": "RGBA", "RGBX": "RGB"}
"""Pillow modes of up to 8 bits per channel, and the mode to which each is converted."""
_DEEP_MODES = ("I", "I;16", "I;16B", "RGB", "RGBA", "LA")
_DESCRIBING = (270, 271, 272, 305, 306, 315, 33432)
"""EXIF tags: description, maker, model, software, date, artist, copyright."""
_EXIF_IFD, _GPS_IFD, _WIDTH, _HEIGHT = 34665, 34853, 40962, 40963
_DAMAGED = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, cv2.error),
    Image.DecompressionBombError,
)
"""Exceptions of Pillow and OpenCV for files that are corrupt or not images."""
_QUALITY = 95


@dataclass(frozen=True)
class Photo:
    """A photo with its metadata. The pixels are upright: the EXIF orientation has been applied."""

    pixels: Pixels
    """(H, W, C), uint8 or uint16; C is 1 for gray, 2 for gray and alpha, 3 for RGB, 4 for RGB and alpha."""
    format: str
    """PNG, JPEG, TIFF, WEBP or BMP."""
    icc: bytes | None = None
    exif: Mapping[int, Any] = field(default_factory=dict)
    """Descriptive tags, without orientation; the EXIF and GPS sub-directories are dicts under their tags."""
    dpi: tuple[float, float] | None = None
    lossless: bool = True

    @property
    def rgb(self) -> Pixels:
        """Colours (H, W, 3) without alpha. Gray is repeated in all three channels."""
        return self.pixels[..., :3] if self.pixels.shape[2] > 2 else self.pixels[..., :1].repeat(3, axis=2)

    def with_rgb(self, rgb: Pixels) -> "Photo":
        """Return the photo with colours `rgb` (H, W, 3) of the same dtype. Gray photos stay gray, and alpha is kept."""
        alpha = self.pixels[..., 3:] if self.pixels.shape[2] > 2 else self.pixels[..., 1:]
        colours = rgb if self.pixels.shape[2] > 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None]
        return replace(self, pixels=np.concatenate([colours, alpha], axis=2) if alpha.size else colours)

    def beside(self, other: "Photo") -> "Photo":
        """Return a photo that shows this photo and, to its right, another photo."""
        return replace(self, pixels=np.concatenate([self.pixels, other.pixels], axis=1))


def read_photo(path: Path) -> Photo:
    """Return the photo in a PNG, JPEG, TIFF, WebP or BMP file, upright and with its bit depth.

    Raises:
        DeblurzooError: the file is missing, corrupt, animated, in an unsupported format, or neither gray nor RGB.
    """
    if not path.is_file():
        raise DeblurzooError(f"{path} does not exist: check the path")
    try:
        with Image.open(path, formats=("PNG", "JPEG", "TIFF", "WEBP", "BMP")) as image:
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise DeblurzooError(f"{path} contains several images: save each image as a separate file")
            return _photo(path, image)
    except _DAMAGED as error:
        raise DeblurzooError(f"{path} cannot be read as an image ({error}): copy or convert it again") from error


def _photo(path: Path, image: Image.Image) -> Photo:
    data = path.read_bytes()
    kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG with smaller images appended
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    deep = (kind == "PNG" and data[24] == 16) or (kind == "TIFF" and 16 in tags.get(258, ()))
    if deep and (tags.get(284) == 2 or tags.get(262) == 0 or 1 in tags.get(338, ())):
        raise DeblurzooError(
            f"{path}: 16-bit TIFF with separate planes, inverted gray or premultiplied alpha is unsupported: convert it"
        )
    if deep and image.mode in ("I", "I;16", "I;16B") and "transparency" in image.info:
        raise DeblurzooError(
            f"{path}: 16-bit gray with a transparent level is not supported: convert it to gray with alpha first"
        )
    if image.mode not in (_DEEP_MODES if deep else _MODES):
        raise DeblurzooError(f"{path}: mode {image.mode} is neither gray nor RGB of 8 or 16 bits: convert it first")
    if kind == "JPEG":
        pixels: Pixels = decode_jpeg(data)
        pixels = pixels[..., :1] if image.mode == "L" else pixels
    else:
        image.load()  # raises if the file is truncated
        pixels = _deep_pixels(data, gray=kind == "PNG" and not data[25] & 2) if deep else _pixels(image)
    exif = image.getexif()
    turned = upright(pixels, orientation_of(image))
    return Photo(
        pixels=turned,
        format=kind,
        icc=image.info.get("icc_profile"),
        exif=_describing(exif, *turned.shape[:2]),
        dpi=image.info.get("dpi"),
        lossless=kind != "WEBP" or b"VP8L" in data,
    )


def _pixels(image: Image.Image) -> Pixels:
    mode = _MODES[image.mode]
    if "transparency" in image.info:
        mode = mode.rstrip("A") + "A"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _deep_pixels(data: bytes, gray: bool) -> Pixels:
    """Decode a 16-bit PNG or TIFF with OpenCV, because Pillow reduces RGB to 8 bits."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("not 16-bit gray or RGB")
    if pixels.ndim == 2:
        return pixels[..., None]
    if gray:  # OpenCV returns gray with alpha as four channels
        return pixels[..., [0, 3]]
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _describing(exif: Image.Exif, height: int, width: int) -> dict[int, Any]:
    """Return the descriptive tags, with the size of the upright photo, but without orientation and thumbnail."""
    own = dict(exif.get_ifd(_EXIF_IFD))
    own |= {tag: size for tag, size in ((_WIDTH, width), (_HEIGHT, height)) if tag in own}
    kept = {tag: exif[tag] for tag in _DESCRIBING if tag in exif}
    return kept | {tag: ifd for tag, ifd in ((_EXIF_IFD, own), (_GPS_IFD, dict(exif.get_ifd(_GPS_IFD)))) if ifd}


def write_photo(path: Path, picture: Photo) -> None:
    """Write a photo in its format and bit depth, atomically.

    JPEG and lossy WebP are written at quality 95. TIFF keeps the colour profile and the descriptive tags, but not the
    EXIF and GPS sub-directories.
    """
    if picture.format == "TIFF":
        replace_atomically(path, lambda file: _write_tiff(file, picture))
    elif picture.pixels.dtype == np.uint16:
        replace_atomically(path, lambda file: file.write(_deep_png(picture)))
    else:
        replace_atomically(path, lambda file: _write_shallow(file, picture))


def _write_shallow(file: BinaryIO, picture: Photo) -> None:
    pixels = picture.pixels[..., 0] if picture.pixels.shape[2] == 1 else picture.pixels
    options: dict[str, Any] = {"exif": _exif(picture), "icc_profile": picture.icc}
    options |= {"dpi": picture.dpi} if picture.dpi else {}
    if picture.format == "JPEG":
        options |= {"quality": _QUALITY, "subsampling": "4:4:4"}
    elif picture.format == "WEBP":
        options |= {"quality": _QUALITY, "lossless": picture.lossless, "exact": True}
    try:
        Image.fromarray(pixels).save(file, picture.format, **options)
    except ValueError as error:  # such as WebP's limit of 16383 pixels
        height, width = pixels.shape[:2]
        raise DeblurzooError(
            f"{width}x{height} pixels cannot be written as {picture.format} ({error}): convert the input to PNG"
        ) from error


def _exif(picture: Photo) -> bytes:
    if not picture.exif:
        return b""
    exif = Image.Exif()
    for tag, value in picture.exif.items():
        if isinstance(value, dict):
            exif.get_ifd(tag).update(value)
        else:
            exif[tag] = value
    return exif.tobytes()


def _write_tiff(file: BinaryIO, picture: Photo) -> None:
    channels = picture.pixels.shape[2]
    tifffile.imwrite(
        file,
        picture.pixels[..., 0] if channels == 1 else picture.pixels,
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig=None if channels == 1 else "contig",
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        iccprofile=picture.icc,
        resolution=picture.dpi,
        resolutionunit="inch" if picture.dpi else None,
        metadata=None,
        software=False,
        extratags=[(t, "s", 0, str(v).encode(), True) for t, v in picture.exif.items() if not isinstance(v, dict)],
    )


def _deep_png(picture: Photo) -> bytes:
    """Encode a 16-bit PNG with metadata. Pillow cannot write 16-bit RGB, and OpenCV cannot write metadata."""
    height, width, channels = picture.pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = picture.pixels.astype(">u2").view(np.uint8).reshape(height, -1)
    up = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))  # PNG filter 2: difference from row above, mod 256
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), up], axis=1)
    chunks = [(b"IHDR", header)]
    chunks += [(b"iCCP", b"ICC\0\0" + zlib.compress(picture.icc))] if picture.icc else []
    chunks += [(b"pHYs", struct.pack(">IIB", *(round(d / 0.0254) for d in picture.dpi), 1))] if picture.dpi else []
    chunks += [(b"eXIf", exif.removeprefix(b"Exif\0\0"))] if (exif := _exif(picture)) else []
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
