"""EXIF is carried byte for byte; corrupt parts are dropped."""

import io
import struct
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from deblurzoo.media.exif import Entry, Exif, read_exif, with_tags
from deblurzoo.media.photos import read_photo, write_photo

PIXELS = np.random.default_rng(0).integers(60, 200, (32, 48, 3), dtype=np.uint8)
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
ORDERS: tuple[Literal["<", ">"], ...] = ("<", ">")


def odd(order: Literal["<", ">"]) -> Exif:
    """Return EXIF with values that Pillow cannot write back, texts in several encodings, and all directories."""
    return Exif(
        order,
        {
            270: Entry(ASCII, "京都 清水寺\0".encode()),
            315: Entry(ASCII, "Jürgen Müller\0".encode("latin-1")),
            33432: Entry(ASCII, "© 2026 Jürgen\0".encode()),
            40093: Entry(BYTE, "Jürgen\0".encode("utf-16-le")),
            34665: {
                36867: Entry(ASCII, b"2026:01:01 10:00:00\0"),
                37379: Entry(RATIONAL, struct.pack(f"{order}II", 2**32 - 1, 100)),  # as Samsung stores brightness
                37500: Entry(UNDEFINED, bytes(range(251))),
                37510: Entry(UNDEFINED, b"UNICODE\0" + "Grüße".encode("utf-16-le")),
                40965: {1: Entry(ASCII, b"R98\0"), 2: Entry(UNDEFINED, b"0100")},
            },
            34853: {
                1: Entry(SHORT, struct.pack(f"{order}H", ord("N"))),  # a reference that is not a text
                5: Entry(SHORT, struct.pack(f"{order}H", 256)),  # an altitude reference that fits no byte
                7: Entry(RATIONAL, struct.pack(f"{order}II", 1, 0)),
            },
        },
    )


def saved(path: Path, exif: Exif) -> Path:
    """Write PIXELS with EXIF."""
    if path.suffix == ".tif":
        file = io.BytesIO()
        tifffile.imwrite(file, PIXELS, photometric="rgb", byteorder=exif.order, metadata=None, software=False)
        path.write_bytes(with_tags(file.getvalue(), exif))
    else:
        Image.fromarray(PIXELS).save(path, exif=b"Exif\0\0" + exif.block())
    return path


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "deep.png", "deep.tif"])
def test_odd_values_and_texts_are_kept_byte_for_byte(tmp_path: Path, name: str, order: Literal["<", ">"]) -> None:
    exif = odd(order)
    photo = read_photo(saved(tmp_path / name, exif))
    if name.startswith("deep"):
        photo = type(photo)(photo.pixels.astype(np.uint16) * 257, photo.format, exif=photo.exif)
    (tmp_path / "out").mkdir()
    write_photo(tmp_path / "out" / name, photo)
    found = read_photo(tmp_path / "out" / name)
    assert photo.lost == found.lost == ""
    assert found.exif.tags == exif.tags and found.pixels.dtype == photo.pixels.dtype
    with Image.open(tmp_path / "out" / name) as other:  # another reader finds the directories
        tags = other.getexif()
        assert tags.get_ifd(34853)[5] == 256
        assert tags.get_ifd(34665)[36867] == "2026:01:01 10:00:00"
        assert name.endswith("tif") or tags.get_ifd(40965)[1] == "R98"


def test_exif_of_other_formats_becomes_exif_of_the_png(tmp_path: Path) -> None:
    photo = read_photo(saved(tmp_path / "a.avif", odd("<")))
    assert photo.format == "PNG" and photo.exif.tags == odd("<").tags


@pytest.mark.parametrize("text", ["whole", "\nexif\n 4\nzz zz\n", "short"])
def test_exif_in_a_text_chunk_is_read(tmp_path: Path, text: str) -> None:
    block = (b"Exif\0\0" + odd("<").block()).hex()
    info = PngInfo()  # ImageMagick stores EXIF so
    info.add_text("Raw profile type exif", f"\nexif\n{len(block) // 2:8d}\n{block}\n" if text == "whole" else text)
    Image.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=info)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, PIXELS)
    assert photo.exif.tags == (odd("<").tags if text == "whole" else {})


def directory(*entries: tuple[int, int, int, int]) -> bytes:
    """Return a block with one directory of entries: tag, type, count, value or offset."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + bytes(4)


@pytest.mark.parametrize(
    ("block", "dropped"),
    [
        (b"", ()),
        (b"no EXIF at all", ("all EXIF",)),
        (b"II*\0", ("all EXIF",)),
        (b"II*\0\xff\xff\0\0", ("the end of EXIF",)),
        (directory((315, ASCII, 2**31, 8), (306, ASCII, 2, 49)), ("Artist",)),
        (directory((315, 99, 1, 8), (306, ASCII, 2, 49)), ("Artist",)),
        (directory((315, 99, 0, 8), (306, ASCII, 2, 49)), ("Artist",)),
        (directory((34853, LONG, 1, 2**31), (306, ASCII, 2, 49)), ("the end of GPS",)),
        (directory((34853, ASCII, 3, 8), (306, ASCII, 2, 49)), ("GPS",)),
        (directory((34665, LONG, 1, 8), (306, ASCII, 2, 49)), ()),  # a loop
        (directory((306, ASCII, 2, 49))[:-8], ("DateTime",)),
    ],
)
def test_corrupt_parts_are_dropped_and_named(block: bytes, dropped: tuple[str, ...]) -> None:
    exif = read_exif(block, 48, 32)
    assert exif.dropped == dropped
    assert read_exif(exif.block(), 48, 32).tags == exif.tags
    if 306 in exif.tags:
        assert exif.tags[306] == Entry(ASCII, b"1\0")


def test_values_that_overlap_do_not_multiply_the_size(tmp_path: Path) -> None:
    tags = [(tag, UNDEFINED, 60_000, 8) for tag in range(40000, 44000)]
    block = directory((34665, LONG, 1, 26)) + directory(*tags)[8:] + bytes(60_000)
    assert len(read_exif(block, 48, 32).block()) < 3 * len(block)


def test_exif_that_is_too_long_for_a_jpeg_is_dropped(tmp_path: Path) -> None:
    note, name = Entry(UNDEFINED, bytes(70_000)), Entry(ASCII, b"me\0")
    block = Exif(tags={315: name, 34665: {37500: note, 36867: name}}).block()
    assert read_exif(block, 48, 32).dropped == ()
    short = read_exif(block, 48, 32, most=65527)
    assert short.dropped == ("MakerNote",) and short.tags == {315: name, 34665: {36867: name}}
    assert read_exif(Exif(tags={270: note}).block(), 48, 32, most=65527).tags == {}


def test_the_size_and_orientation_are_those_of_the_result(tmp_path: Path) -> None:
    size = {40962: Entry(SHORT, struct.pack("<H", 48)), 40963: Entry(SHORT, struct.pack("<H", 32))}
    exif = Exif(tags={274: Entry(SHORT, struct.pack("<H", 6)), 34665: size})
    photo = read_photo(saved(tmp_path / "a.jpg", exif))
    assert photo.pixels.shape == (48, 32, 3)
    expected = {40962: Entry(LONG, struct.pack("<I", 32)), 40963: Entry(LONG, struct.pack("<I", 48))}
    assert photo.exif.tags == {34665: expected}
