import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from deblurzoo.errors import DeblurzooError
from deblurzoo.media.exif import Entry, Exif
from deblurzoo.media.photos import Photo, TooLargeError, read_photo, write_photo

RNG = np.random.default_rng(0)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # type: ignore[no-untyped-call]
SMOOTH = np.asarray(
    Image.fromarray(RNG.integers(60, 200, (4, 5, 3), dtype=np.uint8)).resize((41, 27), Image.Resampling.BICUBIC)
)


def noise(channels: int, dtype: Any) -> np.ndarray[Any, Any]:
    return RNG.integers(0, np.iinfo(dtype).max, (27, 41, channels), dtype=dtype, endpoint=True)


def again(picture: Photo, path: Path) -> Photo:
    write_photo(path, picture)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return read_photo(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_depth_gray_and_alpha_are_kept_exactly(tmp_path: Path, kind: str, channels: int, dtype: Any) -> None:
    if (kind, channels, dtype) == ("TIFF", 2, np.uint16):
        pytest.skip("Pillow cannot read such files")
    exif = Exif(tags={271: Entry(2, b"Maker\0"), 34665: {36867: Entry(2, b"2026:01:02 03:04:05\0")}})
    picture = Photo(noise(channels, dtype), kind, icc=ICC, exif=exif, dpi=(300.0, 300.0))
    kept = again(picture, tmp_path / f"a.{kind.lower()}")
    assert kept.pixels.dtype == dtype and kept.format == kind and kept.icc == ICC
    np.testing.assert_array_equal(kept.pixels, picture.pixels)
    assert kept.dpi == pytest.approx((300, 300), rel=1e-3)
    assert kept.exif.tags == exif.tags


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_bmp_keeps_gray_alpha_and_resolution(tmp_path: Path, channels: int) -> None:
    picture = Photo(noise(channels, np.uint8), "BMP", dpi=(300.0, 150.0))
    kept = again(picture, tmp_path / "a.bmp")
    np.testing.assert_array_equal(kept.pixels, picture.pixels)
    assert kept.format == "BMP" and kept.dpi == pytest.approx((300, 150), rel=1e-3)


def test_other_programs_read_16_bit_results(tmp_path: Path) -> None:
    rgb, rgba = noise(3, np.uint16), noise(4, np.uint16)
    write_photo(tmp_path / "a.png", Photo(rgb, "PNG", icc=ICC))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)[..., ::-1], rgb)
    write_photo(tmp_path / "a.tiff", Photo(rgba, "TIFF"))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tiff"), rgba)


@pytest.mark.parametrize("compression", [1, 5], ids=["none", "lzw"])
def test_16_bit_files_of_other_programs(tmp_path: Path, compression: int) -> None:
    rgb = noise(3, np.uint16)
    cv2.imwrite(str(tmp_path / "a.tif"), rgb[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    cv2.imwrite(str(tmp_path / "a.png"), rgb[..., ::-1])
    for name in ("a.tif", "a.png"):
        np.testing.assert_array_equal(read_photo(tmp_path / name).pixels, rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "deep.png", "deep.tif"])
def test_results_are_upright_and_say_so(tmp_path: Path, name: str, orientation: int) -> None:
    path = tmp_path / name
    exif = Image.Exif()
    exif[274], exif[271] = orientation, "Maker"
    exif.get_ifd(34665).update({40962: 41, 40963: 27, 36867: "2026:01:02 03:04:05"})
    if name == "deep.tif":
        deep = SMOOTH.astype(np.uint16) * 257
        tifffile.imwrite(path, deep, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    elif name == "deep.png":  # write_photo never writes such an orientation, but read_photo must apply it
        tags = {274: Entry(3, struct.pack("<H", orientation)), 271: Entry(2, b"Maker\0")}
        write_photo(path, Photo(SMOOTH.astype(np.uint16) * 257, "PNG", exif=Exif(tags=tags)))
    else:
        Image.fromarray(SMOOTH).save(path, exif=exif, icc_profile=ICC, quality=100)
    upright = Image.fromarray(SMOOTH)
    upright.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(upright)).astype(int)

    picture = read_photo(path)
    kept = again(picture, tmp_path / "out" / name)
    for found in (picture, kept):
        values = found.pixels / (257 if found.pixels.dtype == np.uint16 else 1)
        assert values.shape == expected.shape
        assert np.abs(values - expected).mean() < 5  # another orientation: 30 or more
    with Image.open(tmp_path / "out" / name) as written:
        assert written.getexif().get(274, 1) == 1
        assert written.size == (expected.shape[1], expected.shape[0])
        if not name.startswith("deep"):
            assert written.info["icc_profile"] == ICC
            assert written.getexif()[271] == "Maker"
        if name in ("a.jpg", "a.png", "a.webp"):
            own = written.getexif().get_ifd(34665)
            assert (own[40962], own[40963]) == written.size and own[36867] == "2026:01:02 03:04:05"


def test_lossless_webp_stays_lossless_with_the_colours_below_alpha_0(tmp_path: Path) -> None:
    pixels = noise(4, np.uint8)
    pixels[:9, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=True, exact=True)
    picture = read_photo(tmp_path / "a.webp")
    np.testing.assert_array_equal(again(picture, tmp_path / "out" / "a.webp").pixels, pixels)


def test_colours_change_and_the_rest_stays() -> None:
    for channels in (1, 2, 3, 4):
        picture = Photo(noise(channels, np.uint16), "PNG")
        assert picture.rgb.shape == (27, 41, 3)
        np.testing.assert_array_equal(picture.with_rgb(picture.rgb).pixels, picture.pixels)
        darker = picture.with_rgb(picture.rgb // 2).pixels
        if channels in (2, 4):
            np.testing.assert_array_equal(darker[..., -1], picture.pixels[..., -1])
        assert darker[..., 0].mean() < 0.6 * picture.pixels[..., 0].mean()


def test_palette_with_a_transparent_colour_becomes_rgba(tmp_path: Path) -> None:
    image = Image.fromarray(SMOOTH).quantize(8)
    image.save(tmp_path / "a.png", transparency=0)
    expected = np.asarray(Image.open(tmp_path / "a.png").convert("RGBA"))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, expected)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "deep.png"])
def test_truncated_files_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "deep.png":
        cv2.imwrite(str(path), noise(3, np.uint16))
    else:
        Image.fromarray(noise(3, np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DeblurzooError, match=rf"{name} cannot be read as an image \(.*: copy or convert it again"):
        read_photo(path)


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    Image.fromarray(SMOOTH).convert("CMYK").save(tmp_path / "cmyk.jpg")
    frames = [Image.fromarray(SMOOTH), Image.fromarray(SMOOTH[::-1].copy())]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    tifffile.imwrite(tmp_path / "float.tif", SMOOTH.astype(np.float32))
    (tmp_path / "text.png").write_text("not an image")
    for name, message in {
        "cmyk.jpg": "CMYK is neither gray nor RGB of 8 or 16 bits: convert it first",
        "moving.webp": "contains several images",
        "float.tif": "float.tif",
        "text.png": "cannot be read as an image",
        "nothing.png": "does not exist: check the path",
    }.items():
        with pytest.raises(DeblurzooError, match=message):
            read_photo(tmp_path / name)


@pytest.mark.parametrize(("name", "width"), [("a.jpg", 65_600), ("a.webp", 16_400)])
def test_what_a_format_cannot_hold_is_no_matter_of_disk_space(tmp_path: Path, name: str, width: int) -> None:
    kind = {"a.jpg": "JPEG", "a.webp": "WEBP"}[name]
    message = (
        rf"{name} cannot be written: {width}x2 pixels exceed the limits of {kind} \(.*\): convert the input to PNG"
    )
    with pytest.raises(TooLargeError, match=message):
        write_photo(tmp_path / name, Photo(np.zeros((2, width, 3), np.uint8), kind))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("white", [1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P5", "P6"])
def test_deep_ppm_files_keep_their_depth(tmp_path: Path, kind: str, white: int) -> None:
    values = RNG.integers(0, white, (27, 41, 1 if kind == "P5" else 3), endpoint=True)
    head = f"{kind}\n# made by a scanner\n41 27\n{white}\n".encode()
    (tmp_path / "a.ppm").write_bytes(head + values.astype(">u2").tobytes())
    photo = read_photo(tmp_path / "a.ppm")
    assert photo.format == "PNG" and photo.pixels.dtype == np.uint16
    np.testing.assert_array_equal(photo.pixels, np.rint(values * (65535 / white)))


@pytest.mark.parametrize("depth", [10, 12])
def test_deep_avif_files_keep_their_depth(tmp_path: Path, depth: int) -> None:
    deep = SMOOTH.astype(np.uint16) * (2**depth // 256)
    options = [cv2.IMWRITE_AVIF_DEPTH, depth, cv2.IMWRITE_AVIF_QUALITY, 100]
    (tmp_path / "a.avif").write_bytes(cv2.imencode(".avif", deep[..., ::-1].copy(), options)[1].tobytes())
    photo = read_photo(tmp_path / "a.avif")
    assert photo.pixels.dtype == np.uint16
    assert np.abs(photo.pixels / 257 - SMOOTH).mean() < 3


def test_deep_jpeg_2000_files_keep_their_depth(tmp_path: Path) -> None:
    deep = noise(1, np.uint16)[..., 0]
    Image.fromarray(deep).save(tmp_path / "a.jp2")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.jp2").pixels[..., 0], deep)


@pytest.mark.parametrize("dpi", [(1e7, 1e7), (0, 0)])
def test_resolutions_that_not_every_format_holds_are_dropped(tmp_path: Path, dpi: tuple[float, float]) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / "a.png", dpi=dpi)
    assert again(read_photo(tmp_path / "a.png"), tmp_path / "out" / "a.png").dpi is None
