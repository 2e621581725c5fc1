"""Kinds of files. The content of a file decides, not its name."""

import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import PIL.Image

# Pillow raises an error above twice this number, which is OpenCV's limit, and otherwise only warns.
PIL.Image.MAX_IMAGE_PIXELS = 2**29
warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.")  # corrupt EXIF, which the readers report or do not need

OWN_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
"""Formats of photos whose results have the same format, by their names in Pillow. Other results are PNGs."""
FORMATS = (*OWN_FORMATS, "AVIF", "DDS", "DIB", "GIF", "ICO", "JPEG2000", "PCX", "PPM", "QOI", "SGI", "SUN")
"""All formats that can be read, by their names in Pillow, except TGA."""
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".jfif", ".jpe", ".avif", ".dds", ".dib", ".gif"),
    *(".jp2", ".j2k", ".pbm", ".pcx", ".pgm", ".pnm", ".ppm", ".qoi", ".sgi", ".tga"),
)
"""Suffixes of files that are image files without a look at their content. Upper case is also accepted."""
VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp")
)
"""Suffixes of videos. They decide only if the content is not recognised, as in a corrupt video."""
DAMAGED = (
    *(OSError, SyntaxError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError),
    *(RuntimeError, struct.error, zlib.error, PIL.Image.DecompressionBombError),
)
"""Exceptions of Pillow for files that are corrupt or not images."""
_MOST_PER_BYTE, _FEW = 10_000, 2**24
"""Largest number of pixels per byte of a file, for images of more than a few pixels."""
_UNKNOWN, _EMPTY = "a file of an unknown kind", "an empty file"
_DNG_VERSION, _SUB_IFDS, _SUBFILE_TYPE = 50706, 330, 254
_RAW = "a raw photo of a camera"


class Kind(NamedTuple):
    """Kind of a file."""

    group: Literal["photo", "video", "unsupported", "other"]
    """`unsupported` are photos in a format that cannot be read; `other` are files without photos and videos."""
    name: str
    """For photos, Pillow's name of the format; for unsupported and other files, a noun with its article."""


_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (rb"....ftyp(?!.{0,48}avi[fs])(hei[cmsx]|hev[cmsx]|mif1|msf1)", Kind("unsupported", "a HEIC photo")),
    (rb"....ftypcrx |II\*\0....CR|IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW|FOVb|\0MRM", Kind("unsupported", _RAW)),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", Kind("unsupported", "a JPEG XL photo")),
    (rb"II\xbc", Kind("unsupported", "a JPEG XR photo")),
    (rb"8BP[SB]", Kind("unsupported", "a Photoshop document")),
    (rb"gimp xcf", Kind("unsupported", "a GIMP document")),
    (rb"\x76\x2f\x31\x01", Kind("unsupported", "an OpenEXR image")),
    (rb"#\?R(ADIANCE|GBE)", Kind("unsupported", "a Radiance HDR image")),
    (rb"%PDF|%!PS|\xc5\xd0\xd3\xc6", Kind("other", "a PDF or PostScript document")),
    (rb"\s*(<\?xml.*?>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg.*?>\s*)?<svg", Kind("other", "an SVG drawing")),
    (rb"PK\x03\x04|7z\xbc\xaf|Rar!|\x1f\x8b|.{257}ustar", Kind("other", "an archive")),
    (rb"ID3|fLaC|RIFF....WAVE", Kind("other", "a sound file")),
)
"""Regular expressions for the start of files that neither Pillow nor FFmpeg may read."""


def kind_of(path: Path) -> Kind:
    """Return the kind of a file by its content.

    If the content is not recognised, as in a corrupt file, or cannot be read, the suffix decides: the reader of photos
    or videos then reports the reason. A missing file counts as a photo.
    """
    from deblurzoo.media.video import is_video  # deferred: lists of image files do not need FFmpeg

    suffix = path.suffix.lower()
    by_suffix = Kind("video", "") if suffix in VIDEO_SUFFIXES else Kind("photo", "")
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            return Kind("photo", "")
        head = _head(path)
    except OSError:
        return by_suffix
    for pattern, kind in _SIGNATURES:
        if re.match(pattern, head, re.DOTALL):
            return kind
    if photo := _photo(path):
        return photo
    if is_video(path):
        return Kind("video", "")
    if suffix in SUFFIXES or suffix in VIDEO_SUFFIXES:
        return by_suffix
    unknown = "a text file" if _is_text(head) else _UNKNOWN
    return Kind("other", unknown if head else _EMPTY)


def is_photo(path: Path) -> bool:
    """Whether the content is a photo in a format that can be read. Only the header is read."""
    try:
        kind = _photo(path) if path.is_file() else None
    except OSError:
        return False
    return kind is not None and kind.group == "photo"


def is_lost_photo(path: Path) -> bool:
    """Whether a file may be a photo that cannot be read: corrupt, without permission, or in an unsupported format."""
    kind = kind_of(path)
    return kind.group in ("photo", "unsupported") or kind.name in (_UNKNOWN, _EMPTY)


def require_plausible(image: PIL.Image.Image, size: int) -> None:
    """Raise a ValueError if a header declares so many pixels that a file of `size` bytes cannot be a photo.

    Decoding such a file would take minutes.
    """
    pixels = image.width * image.height
    if pixels > _MOST_PER_BYTE * size and pixels > _FEW:
        raise ValueError("its header declares more pixels than its data hold")


def formats(path: Path) -> tuple[str, ...]:
    """Return the formats that a file may have. TGA has no signature: only the suffix distinguishes it from noise."""
    return (*FORMATS, "TGA") if path.suffix.lower() == ".tga" else FORMATS


def _photo(path: Path) -> Kind | None:
    """Return the kind of a photo that Pillow can open, also of a raw photo, in which Pillow finds only a preview."""
    try:
        with PIL.Image.open(path, formats=formats(path)) as image:
            tags = getattr(image, "tag_v2", {})
            preview = _SUB_IFDS in tags and tags.get(_SUBFILE_TYPE, 0) & 1
            if _DNG_VERSION in tags or preview:
                return Kind("unsupported", _RAW)
            return Kind("photo", str(image.format))
    except PIL.Image.DecompressionBombError:  # the reader reports it
        return Kind("photo", "")
    except DAMAGED:
        return None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)


def _is_text(head: bytes) -> bool:
    try:
        return "\0" not in head[:-3].decode()
    except UnicodeDecodeError:
        return False
