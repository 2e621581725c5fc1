"""Reading and writing of photos: 8-bit or 16-bit, gray or colour, with alpha channel, colour profile and EXIF."""

import io
import math
import re
import struct
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image

from deblurzoo.errors import DeblurzooError, few_of
from deblurzoo.files import write_atomically
from deblurzoo.media import Pixels
from deblurzoo.media.encoded import decode_jpeg, orientation_of, upright
from deblurzoo.media.exif import Exif, read_exif, with_tags
from deblurzoo.media.kinds import DAMAGED, OWN_FORMATS, formats, require_plausible

_MODES = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "P": "RGB", "PA": "RGBA", "RGBX": "RGB"}
"""Pillow modes of up to 8 bits per channel, and the mode to which each is converted."""
_DEEP_MODES = ("I", "I;16", "I;16B", "RGB", "RGBA", "LA")
_EXIF = b"Exif\0\0"
"""Prefix of EXIF in JPEG, which Pillow removes for other formats."""
_JPEG_EXIF = 65533 - len(_EXIF)
"""Largest number of bytes of EXIF in a JPEG."""
_QUALITY = 95


class TooLargeError(DeblurzooError):
    """An image that its file format cannot hold."""


@dataclass(frozen=True)
class Photo:
    """A photo with its metadata. The pixels are upright: the EXIF orientation has been applied."""

    pixels: Pixels
    """(H, W, C), uint8 or uint16; C is 1 for gray, 2 for gray and alpha, 3 for RGB, 4 for RGB and alpha."""
    format: str
    """Format to write: PNG, JPEG, TIFF, WEBP or BMP."""
    icc: bytes | None = None
    exif: Exif = field(default_factory=Exif)
    dpi: tuple[float, float] | None = None
    lossless: bool = True

    @property
    def lost(self) -> str:
        """Metadata of the file that are corrupt or too long and are not written, as a text; empty if there are none."""
        return few_of(self.exif.dropped)

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
    """Return the photo in a file, upright and with its bit depth. For the formats, see `kinds.FORMATS`.

    Raises:
        DeblurzooError: the file is missing, corrupt, animated, in an unsupported format, or neither gray nor RGB.
    """
    if not path.is_file():
        raise DeblurzooError(f"{path} does not exist: check the path")
    try:
        with Image.open(path, formats=formats(path)) as image:
            if image.format not in ("MPO", "ICO") and getattr(image, "n_frames", 1) > 1:
                raise DeblurzooError(
                    f"{path} contains several images: save each image as a separate file, or an animation as a video"
                )
            return _photo(path, image)
    except (*DAMAGED, cv2.error) as error:
        raise DeblurzooError(f"{path} cannot be read as an image ({error}): copy or convert it again") from error


def _photo(path: Path, image: Image.Image) -> Photo:
    data = path.read_bytes()
    require_plausible(image, len(data))
    kind = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG with smaller images appended
    tags: Any = getattr(image, "tag_v2", {})
    white = _white(kind, data, tags)
    deep = white > 255
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
        pixels = _deep_pixels(data, white, gray=kind == "PNG" and not data[25] & 2) if deep else _pixels(image)
    turned = upright(pixels, orientation_of(image))
    height, width = turned.shape[:2]
    block = data if kind == "TIFF" else _exif_block(image)
    icc, dpi = image.info.get("icc_profile"), image.info.get("dpi")
    return Photo(
        pixels=turned,
        format=kind if kind in OWN_FORMATS else "PNG",
        icc=icc if isinstance(icc, bytes) else None,
        exif=read_exif(block, width, height, _JPEG_EXIF if kind == "JPEG" else None),
        dpi=dpi if _is_resolution(dpi) else None,
        lossless=kind != "WEBP" or b"VP8L" in data,
    )


def _white(kind: str, data: bytes, tags: Any) -> int:
    """Return the value of white. Pillow hides it in its modes, and OpenCV decodes deeper values unscaled."""
    if kind == "PNG":
        return 65535 if data[24] == 16 else 255
    if kind == "TIFF":
        return 65535 if 16 in tags.get(258, ()) else 255
    if kind == "JPEG2000" and (size := data.find(b"\xff\x51")) >= 0:
        return int(2 ** max(8, (data[size + 40] & 0x7F) + 1) - 1)
    if kind == "AVIF" and (size := data.find(b"av1C")) >= 0:
        return {0: 255, 1: 255, 2: 1023, 3: 4095}[data[size + 6] >> 5 & 3]
    if kind == "PPM" and data[:2] in (b"P2", b"P3", b"P5", b"P6"):
        words = re.sub(rb"#[^\n\r]*", b"", data[2:1000]).split(maxsplit=3)
        return max(255, int(words[2]))
    return 255


def _is_resolution(dpi: Any) -> bool:
    """Whether a resolution can be written by every format."""
    try:
        return len(dpi) == 2 and all(0 < value < 65535 and math.isfinite(value) for value in map(float, dpi))
    except (TypeError, ValueError, ArithmeticError):
        return False


def _exif_block(image: Image.Image) -> bytes:
    """Return the EXIF bytes of a loaded image, also from the text chunk in which ImageMagick stores EXIF in a PNG."""
    block = image.info.get("exif", b"")
    if not block and isinstance(text := image.info.get("Raw profile type exif"), str):
        try:
            return bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:  # `read_exif` reports it
            return text.encode()
    return block if isinstance(block, bytes) else b""


def _pixels(image: Image.Image) -> Pixels:
    mode = _MODES[image.mode]
    if "transparency" in image.info:
        mode = mode.rstrip("A") + "A"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _deep_pixels(data: bytes, white: int, gray: bool) -> Pixels:
    """Decode more than 8 bits with OpenCV, because Pillow reduces RGB to 8 bits; return values up to 65535."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise ValueError("not 16-bit gray or RGB")
    if white < 65535:
        pixels = np.rint(pixels.clip(0, white) * (65535 / white)).astype(np.uint16)
    if pixels.ndim == 2:
        return pixels[..., None]
    if gray:  # OpenCV returns gray with alpha as four channels
        return pixels[..., [0, 3]]
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def write_photo(path: Path, picture: Photo) -> None:
    """Write a photo in its format and bit depth, atomically. JPEG and lossy WebP are written at quality 95.

    Raises:
        TooLargeError: the format cannot hold an image of this size.
        DeblurzooError: the disk is full or the folder cannot be written.
    """
    encode = _tiff if picture.format == "TIFF" else _deep_png if picture.pixels.dtype == np.uint16 else _shallow
    try:
        data = encode(picture)
    except (ValueError, OSError, OverflowError, struct.error) as error:  # such as WebP's limit of 16383 pixels
        height, width = picture.pixels.shape[:2]
        raise TooLargeError(
            f"{path} cannot be written: {width}x{height} pixels exceed the limits of {picture.format} ({error}): "
            "convert the input to PNG"
        ) from error
    write_atomically(path, data)


def _shallow(picture: Photo) -> bytes | memoryview:
    """Encode 8-bit values."""
    if picture.format == "BMP" and picture.pixels.shape[2] == 4:
        return _transparent_bmp(picture)
    pixels = picture.pixels[..., 0] if picture.pixels.shape[2] == 1 else picture.pixels
    options: dict[str, Any] = {"icc_profile": picture.icc}
    options |= {"exif": _EXIF + block} if (block := picture.exif.block()) else {}
    options |= {"dpi": picture.dpi} if picture.dpi else {}
    if picture.format == "JPEG":
        options |= {"quality": _QUALITY, "subsampling": "4:4:4"}
    elif picture.format == "WEBP":
        options |= {"quality": _QUALITY, "lossless": picture.lossless, "exact": True}
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, picture.format, **options)
    return file.getbuffer()


def _transparent_bmp(picture: Photo) -> bytes:
    """Encode a BMP with alpha. Pillow writes the alpha without the header that declares it."""
    data = bytearray(cv2.imencode(".bmp", cv2.cvtColor(picture.pixels, cv2.COLOR_RGBA2BGRA))[1].tobytes())
    if picture.dpi:
        struct.pack_into("<ii", data, 38, *(round(d / 0.0254) for d in picture.dpi))  # pixels per metre
    return bytes(data)


def _tiff(picture: Photo) -> bytes:
    channels = picture.pixels.shape[2]
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        picture.pixels[..., 0] if channels == 1 else picture.pixels,
        byteorder=picture.exif.order,
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig=None if channels == 1 else "contig",
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        iccprofile=picture.icc,
        resolution=picture.dpi,
        resolutionunit="inch" if picture.dpi else None,
        metadata=None,
        software=False,
    )
    return with_tags(file.getvalue(), picture.exif)


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
    chunks += [(b"eXIf", exif)] if (exif := picture.exif.block()) else []
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
