from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import image_size, read_image, write_png

PICTURE = np.random.default_rng(0).integers(0, 256, (21, 33, 3), dtype=np.uint8)


def test_png_round_trip_is_exact_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_png(tmp_path / "new" / "a.png", PICTURE)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), PICTURE)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tiff", ".webp"])
def test_other_formats_are_read_as_rgb(tmp_path: Path, suffix: str) -> None:
    smooth = np.full((32, 32, 3), (200, 100, 20), np.uint8)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), cv2.cvtColor(smooth, cv2.COLOR_RGB2BGR))
    assert np.abs(read_image(path).astype(int) - smooth).max() <= 3


def test_gray_rgba_and_16_bit_pngs_become_8_bit_rgb(tmp_path: Path) -> None:
    for name, content in {
        "gray": PICTURE[..., 0],
        "rgba": cv2.cvtColor(PICTURE, cv2.COLOR_RGB2BGRA),
        "deep": PICTURE[..., ::-1].astype(np.uint16) * 257,
    }.items():
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), content)
        expected = PICTURE[..., :1].repeat(3, axis=2) if name == "gray" else PICTURE
        np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    cv2.imwrite(str(path), PICTURE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DeblurzooError, match=rf"cut\{suffix} cannot be read"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_files_that_are_no_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"text{suffix}"
    path.write_text("not an image")
    with pytest.raises(DeblurzooError, match="cannot be read"):
        read_image(path)
    with pytest.raises(DeblurzooError, match="does not exist"):
        read_image(tmp_path / f"nothing{suffix}")


def test_kinds_that_the_fast_decoder_does_not_know(tmp_path: Path) -> None:
    rgb = PIL.Image.fromarray(PICTURE)
    for name, picture in {
        "palette.png": rgb.convert("P"),
        "bit.png": rgb.convert("1"),
        "gray_alpha.png": rgb.convert("LA"),
        "cmyk.jpg": rgb.convert("CMYK"),
    }.items():
        picture.save(tmp_path / name)
        assert read_image(tmp_path / name).shape == PICTURE.shape
        assert image_size(tmp_path / name) == (33, 21)
    rgb.save(tmp_path / "a_png.jpg", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "a_png.jpg"), PICTURE)


def test_damage_in_the_middle_is_no_grey_picture(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg"):
        path = tmp_path / f"a{suffix}"
        cv2.imwrite(str(path), PICTURE)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 4] = b"\xff\x00\xff\xc4"
        path.write_bytes(data)
        with pytest.raises(DeblurzooError, match="cannot be read"):
            read_image(path)


def test_header_of_a_file_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(DeblurzooError, match="cannot be read"):
        image_size(tmp_path / "text.png")
    with pytest.raises(DeblurzooError, match="does not exist"):
        image_size(tmp_path / "nothing.png")
