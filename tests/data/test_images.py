from pathlib import Path

import cv2
import numpy as np
import pytest

from deblurzoo.data.images import read_image, write_png
from deblurzoo.errors import DeblurzooError

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
    path.write_text("not a picture")
    with pytest.raises(DeblurzooError, match="cannot be read"):
        read_image(path)
    with pytest.raises(DeblurzooError, match="does not exist"):
        read_image(tmp_path / f"nothing{suffix}")
