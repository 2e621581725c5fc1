"""Image files of cameras and other programs: with EXIF orientation, truncated, or with appended data."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import ImageOps

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.media.images import ImageFile, Zipped, image_size, read_image
from deblurzoo.media.photos import read_photo

WIDTH, HEIGHT = 90, 58
SMOOTH = np.asarray(
    PIL.Image.fromarray(np.random.default_rng(0).integers(30, 225, (5, 7, 3), dtype=np.uint8)).resize(
        (WIDTH, HEIGHT), PIL.Image.Resampling.BICUBIC
    )
)
FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "rgb.jpg": ("JPEG", "RGB", {}),
    "444.jpg": ("JPEG", "RGB", {"subsampling": 0}),
    "progressive.jpg": ("JPEG", "RGB", {"progressive": True}),
    "restarts.jpg": ("JPEG", "RGB", {"restart_marker_blocks": 3}),
    "gray.jpg": ("JPEG", "L", {}),
    "cmyk.jpg": ("JPEG", "CMYK", {}),
    "rgb.png": ("PNG", "RGB", {}),
    "rgba.png": ("PNG", "RGBA", {}),
    "gray.png": ("PNG", "L", {}),
    "gray_alpha.png": ("PNG", "LA", {}),
    "palette.png": ("PNG", "P", {}),
    "deep.png": ("PNG", "I;16", {}),
    "rgb.webp": ("WEBP", "RGB", {}),
    "lossless.webp": ("WEBP", "RGB", {"lossless": True}),
    "rgba.webp": ("WEBP", "RGBA", {}),
    "rgb.tif": ("TIFF", "RGB", {}),
    "lzw.tif": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "gray.tif": ("TIFF", "L", {}),
    "rgb.bmp": ("BMP", "RGB", {}),
}
"""File formats, with the arguments with which Pillow writes each: format, mode, options."""
JPEGS = [name for name in FORMATS if name.endswith(".jpg")]
CLOSED = b"\xff\xd9"
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(range(256)) * 40 + b"\xff\xd8\xff\xd9" + bytes(99)


def encoded(name: str, orientation: int | None = None) -> bytes:
    """Return SMOOTH encoded in a format, with an EXIF orientation if `orientation` is given."""
    kind, mode, options = FORMATS[name]
    picture = PIL.Image.fromarray(SMOOTH)
    if mode == "I;16":
        picture = PIL.Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    elif mode == "P":
        picture = picture.quantize(256)
    else:
        picture = picture.convert(mode)
    if orientation:
        options = {**options, "exif": exif(orientation)}
    file = io.BytesIO()
    picture.save(file, kind, **({"quality": 95} if kind in ("JPEG", "WEBP") else {}), **options)
    return file.getvalue()


def exif(orientation: int) -> PIL.Image.Exif:
    tags = PIL.Image.Exif()
    tags[271], tags[274] = "Maker", orientation
    return tags


def expected(name: str, orientation: int = 1) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return SMOOTH as it must be read: gray if the file is gray, upright according to Pillow."""
    gray = "gray" in name or "deep" in name
    picture = PIL.Image.fromarray(SMOOTH).convert("L").convert("RGB") if gray else PIL.Image.fromarray(SMOOTH)
    picture.getexif()[274] = orientation
    return np.asarray(ImageOps.exif_transpose(picture)).astype(int)


def assert_looks_like(image: Image, wanted: np.ndarray[Any, Any]) -> None:
    """Check an image with a tolerance; a wrong orientation differs by 25 levels or more, or in size."""
    assert image.shape == wanted.shape and image.dtype == np.uint8 and image.flags.c_contiguous
    assert np.abs(image.astype(int) - wanted).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "rgb.bmp"])
def test_every_format_is_read_upright_and_has_the_size_of_its_pixels(
    name: str, orientation: int, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(name, orientation))
    image = read_image(path)
    assert_looks_like(image, expected(name, orientation))
    assert image_size(path) == (image.shape[1], image.shape[0])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, name)
    zipped = Zipped(tmp_path / "a.zip", name)
    np.testing.assert_array_equal(zipped.read(), image)
    assert zipped.size() == image_size(path)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_as_it_is_without_exif(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded(name))
    assert_looks_like(read_image(tmp_path / name), expected(name))
    assert image_size(tmp_path / name) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", [0, 9, 200])
def test_an_orientation_that_exif_does_not_know_turns_nothing(orientation: int, tmp_path: Path) -> None:
    for name in ("rgb.jpg", "rgb.png", "rgb.webp"):
        (tmp_path / name).write_bytes(encoded(name, orientation))
        assert_looks_like(read_image(tmp_path / name), expected(name))


@pytest.mark.parametrize("name", ["rgb.png", "rgba.png", "gray.png"])
def test_exif_behind_the_pixels_of_a_png_turns_too(name: str, tmp_path: Path) -> None:
    plain, before = encoded(name), encoded(name, 6)
    start = before.index(b"eXIf") - 4
    chunk = before[start : start + 12 + int.from_bytes(before[start : start + 4], "big")]
    (tmp_path / name).write_bytes(plain[:-12] + chunk + plain[-12:])
    assert_looks_like(read_image(tmp_path / name), expected(name, 6))
    assert image_size(tmp_path / name) == (HEIGHT, WIDTH)
    assert_looks_like(read_photo(tmp_path / name).rgb.copy(), expected(name, 6))


def test_exif_behind_the_end_of_a_png_is_ignored_and_found_before_it_whatever_follows(tmp_path: Path) -> None:
    plain, turned = encoded("rgb.png"), encoded("rgb.png", 6)
    start = turned.index(b"eXIf") - 4
    chunk = turned[start : start + 12 + int.from_bytes(turned[start : start + 4], "big")]
    for behind in (chunk, turned, plain[-12:] + chunk):
        (tmp_path / "rgb.png").write_bytes(plain + behind)
        assert_looks_like(read_image(tmp_path / "rgb.png"), expected("rgb.png"))
        assert image_size(tmp_path / "rgb.png") == (WIDTH, HEIGHT)
    (tmp_path / "rgb.png").write_bytes(plain[:-12] + chunk + plain[-12:] + bytes(70_000))
    assert image_size(tmp_path / "rgb.png") == (HEIGHT, WIDTH)


def test_damaged_exif_turns_nothing(tmp_path: Path) -> None:
    damaged = b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff\x01\x12"
    for name in ("rgb.jpg", "rgb.png", "rgb.webp"):
        PIL.Image.fromarray(SMOOTH).save(tmp_path / name, FORMATS[name][0], exif=damaged, quality=95)
        assert_looks_like(read_image(tmp_path / name), expected(name))
        assert image_size(tmp_path / name) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("name", FORMATS)
def test_what_follows_a_picture_is_ignored(name: str, tmp_path: Path) -> None:
    whole, path = encoded(name), tmp_path / name
    path.write_bytes(whole)
    alone = read_image(path)
    for behind in (MP4, bytes(2000), b"\n", encoded("rgb.jpg"), whole[: len(whole) // 2], CLOSED):
        path.write_bytes(whole + behind)
        np.testing.assert_array_equal(read_image(path), alone)


def test_end_markers_in_segments_are_no_end(tmp_path: Path) -> None:
    """Such as the end marker of a thumbnail in EXIF, or an end marker in a comment."""
    thumbnail = io.BytesIO()
    PIL.Image.fromarray(SMOOTH[::2, ::2]).save(thumbnail, "JPEG")
    segment = b"\xff\xe5" + (len(thumbnail.getvalue()) + 2).to_bytes(2, "big") + thumbnail.getvalue()
    comment = b"\xff\xfe\x00\x06" + CLOSED * 2
    whole = encoded("rgb.jpg")
    for head in (segment, comment, comment + segment, b"\xff\xff\xff" + comment):
        (tmp_path / "a.jpg").write_bytes(whole[:2] + head + whole[2:])
        assert_looks_like(read_image(tmp_path / "a.jpg"), expected("rgb.jpg"))
        for cut in (whole[:2] + head, whole[:2] + head + whole[2 : len(whole) * 2 // 3]):
            (tmp_path / "a.jpg").write_bytes(cut)
            with pytest.raises(DeblurzooError, match=r"a\.jpg cannot be read"):
                read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 0.9, 0.99])
@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_picture_is_refused(name: str, share: float, tmp_path: Path) -> None:
    whole = encoded(name)
    content = whole[: int(share * len(whole))]
    (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, content)
    for picture in (ImageFile(tmp_path / name), Zipped(tmp_path / "a.zip", name)):
        with pytest.raises(DeblurzooError, match=rf"{name} cannot be read"):
            picture.read()


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8, 0.97])
@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_that_was_cut_in_its_scan_and_closed_is_refused(name: str, share: float, tmp_path: Path) -> None:
    whole, path = encoded(name), tmp_path / name
    scan = whole.index(b"\xff\xda") + 14
    content = whole[: scan + int(share * (len(whole) - scan))].rstrip(b"\xff")
    filled = (bytes(500) + CLOSED,) if name != "cmyk.jpg" else ()  # OpenCV, the only decoder of CMYK, ignores it
    unfinished = (b"\xff" + CLOSED, bytes([255] * 20) + CLOSED, b"\xff\xd0" + CLOSED)
    for end in (CLOSED, CLOSED + bytes(2000), CLOSED + MP4, *unfinished, *filled):
        path.write_bytes(content + end)
        with pytest.raises(DeblurzooError, match=rf"{name} cannot be read"):
            read_image(path)
        if name != "cmyk.jpg":
            with pytest.raises(DeblurzooError, match=rf"{name} cannot be read"):
                read_photo(path)


@pytest.mark.parametrize("name", [name for name in JPEGS if name != "cmyk.jpg"])
def test_bytes_too_many_before_the_end_are_ignored(name: str, tmp_path: Path) -> None:
    """Cameras pad scans; libjpeg gives the same warning for padding as for truncation."""
    whole, path = encoded(name), tmp_path / name
    path.write_bytes(whole)
    alone = read_image(path)
    for padding in (b"\0", bytes(100), b"\x12\x34\0\0", b"\xff" * 9, b"\0\xff"):
        path.write_bytes(whole[:-2] + padding + whole[-2:])
        np.testing.assert_array_equal(read_image(path), alone)


def test_a_picture_whose_bottom_is_gray_is_no_cut_one(tmp_path: Path) -> None:
    """Decoders fill the missing part of a truncated JPEG with the same gray."""
    picture = SMOOTH.copy()
    picture[24:] = 128
    for options in ({}, {"progressive": True}, {"restart_marker_blocks": 2}):
        PIL.Image.fromarray(picture).save(tmp_path / "a.jpg", quality=95, **options)
        assert_looks_like(read_image(tmp_path / "a.jpg"), picture)
        assert (read_photo(tmp_path / "a.jpg").pixels[-8:] == 128).all()
