from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from deblurzoo.batch import Batch
from deblurzoo.config import checked
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.data.degrade import blurred
from deblurzoo.data.exposing import unblurred
from deblurzoo.errors import DeblurzooError
from deblurzoo.synthesis.extra_blur import ExtraBlur

EXTRA = ExtraBlur(datasets=("dvd",))
SAMPLES = range(60)


def test_hidden_black_gives_no_dark_rim(tmp_path: Path) -> None:
    y, x = np.indices((41, 61)) - np.array([20, 30])[:, None, None]
    disc = np.zeros((41, 61, 4), np.uint8)
    disc[np.hypot(x, y) < 18] = 255
    cv2.imwrite(str(tmp_path / "disc.png"), disc)
    extra = ExtraBlur(datasets=("dvd",), objects=str(tmp_path))
    white = np.full((2, 128, 128, 3), 255, np.uint8)
    assert min(blur(extra, white, seed).min() for seed in SAMPLES) >= 254


def pair(seed: int = 0, side: int = 96) -> np.ndarray:
    """Return identical blurry and sharp images, so that all blur is additional."""
    noise = np.random.default_rng(seed).integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    picture = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.stack([picture, picture])


def blur(extra: ExtraBlur, images: np.ndarray, seed: int) -> np.ndarray:
    """Return blurry and sharp images (T+1, H, W, 3), uint8, with extra blur that is added to a batch."""
    frames, size = len(images) - 1, images.shape[1:3]
    batch = Batch(torch.empty(1, frames, 3, *size), torch.empty(1, 3, *size), ["clip"], ["frame"])
    after = blurred(batch._replace(unblurred=unblurred(extra, images, seed)))
    both = torch.cat([after.blur[0], after.sharp])
    return (255 * both).round().byte().permute(0, 2, 3, 1).numpy()


def has_object(before: np.ndarray, after: np.ndarray) -> bool:
    return not np.array_equal(before[-1], after[-1])


def test_half_get_blur_and_half_an_object() -> None:
    objects = sum(has_object(pair(), blur(EXTRA, pair(), seed)) for seed in SAMPLES)
    assert 20 <= objects <= 40


def test_blur_never_touches_the_sharp_picture_and_always_the_blurry_one() -> None:
    for seed in SAMPLES:
        after = blur(EXTRA, pair(), seed)
        assert not np.array_equal(after[0], pair()[0])
        assert after.shape == pair().shape and after.dtype == np.uint8


def test_same_seed_same_pictures() -> None:
    assert np.array_equal(blur(EXTRA, pair(), 3), blur(EXTRA, pair(), 3))
    assert not np.array_equal(blur(EXTRA, pair(), 3), blur(EXTRA, pair(), 4))


def test_a_flat_picture_stays_flat_unless_there_is_an_object() -> None:
    flat = np.full((2, 64, 64, 3), 77, np.uint8)
    for seed in SAMPLES:
        assert np.array_equal(blur(EXTRA, flat, seed), flat)  # the patch of an object is flat as well


def test_objects_change_a_part_and_are_blurred_by_at_most_the_length() -> None:
    extra = ExtraBlur(datasets=("dvd",), max_length=6.0)
    for seed in SAMPLES:
        before, after = pair(), blur(extra, pair(), seed)
        if not has_object(before, after):
            continue
        object_ = (after[-1] != before[-1]).any(axis=-1)
        assert object_[7:-7, 7:-7].any()  # in the crop, not only in its margin
        touched = (after[0] != before[0]).any(axis=-1)
        reach = cv2.dilate(object_.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
        assert 0 < object_.mean() < 0.5
        assert not (touched & ~reach).any()


def test_the_batch_is_blurred_as_by_opencv() -> None:
    for seed in SAMPLES:
        before, (kernel, layer) = pair(), EXTRA.draw(pair()[1], seed)
        blurry, sharp = before.astype(np.float32)
        if layer is None:
            blurry = cv2.filter2D(blurry, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        else:
            moving = cv2.filter2D(layer, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
            blurry = (1 - moving[..., 3:]) * blurry + moving[..., :3]
            sharp = (1 - layer[..., 3:]) * sharp + layer[..., :3]
        assert np.abs(blur(EXTRA, before, seed) - np.stack([blurry, sharp])).max() <= 0.51


def test_lines_are_straight() -> None:
    for seed in range(5):
        kernel = ExtraBlur(datasets=("dvd",), path="line").kernel(np.random.default_rng(seed))
        y, x = np.indices(kernel.shape) - kernel.shape[0] // 2
        xy = (kernel * x * y).sum()
        spread = np.linalg.eigvalsh([[(kernel * x * x).sum(), xy], [xy, (kernel * y * y).sum()]])
        assert spread[0] < 0.3  # across the line: only the spread of bilinear interpolation


def test_cut_outs_are_taken_from_a_folder(tmp_path: Path) -> None:
    green = np.zeros((30, 20, 4), np.uint8)
    green[5:25, 5:15] = (0, 255, 0, 255)
    cv2.imwrite(str(tmp_path / "green.PNG"), green)
    for name in ("._green.png", "~$green.png"):  # files that operating systems and programs create
        (tmp_path / name).write_bytes(b"no picture")
    extra = ExtraBlur(datasets=("dvd",), objects=str(tmp_path))
    dark = np.zeros((2, 64, 64, 3), np.uint8)
    after = [blur(extra, dark, seed) for seed in SAMPLES]
    assert any(picture[..., 1].any() for picture in after)
    assert not any(picture[..., [0, 2]].any() for picture in after)


def test_cut_outs_are_upright(tmp_path: Path) -> None:
    """The cut-out is stored rotated; its upper half is red when upright."""
    standing = np.zeros((32, 8, 4), np.uint8)
    standing[..., 1], standing[..., 3] = 255, 255
    standing[:16] = (255, 0, 0, 255)
    exif = PIL.Image.Exif()
    exif[274] = 6  # rotate by 90 degrees clockwise
    PIL.Image.fromarray(np.rot90(standing)).save(tmp_path / "lying.png", exif=exif)
    extra = ExtraBlur(datasets=("dvd",), objects=str(tmp_path))
    images = [blur(extra, np.zeros((2, 64, 64, 3), np.uint8), seed)[-1] for seed in SAMPLES]
    rows = [[np.argwhere(image[..., channel] > 128)[:, 0] for channel in (0, 1)] for image in images]
    whole = [(red.mean(), green.mean()) for red, green in rows if len(red) and len(green)]
    assert whole and all(red < green for red, green in whole)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"max_length": 0.5},
            "max_length=0.5 is invalid for DeblurDataModule: Input should be greater",
        ),
        ({"path": "circle"}, "path=circle is invalid for DeblurDataModule: Input should be 'shake' or 'line'"),
        ({"datasets": "dvd"}, "datasets=dvd is invalid for DeblurDataModule: Input should be a valid array"),
        ({"lenght": 3}, "lenght=3 is invalid for DeblurDataModule: Unexpected keyword argument"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(DeblurzooError, match=f"datamodule.augmentation.extra_blur.{message}"):
        checked(
            DeblurDataModule, {"augmentation": {"crop": 8, "extra_blur": {"datasets": ["dvd"], **wrong}}}, "datamodule"
        )


def test_folders_without_cut_outs_are_refused(tmp_path: Path) -> None:
    (tmp_path / "._opaque.png").touch()
    with pytest.raises(DeblurzooError, match="has no PNGs"):
        ExtraBlur(datasets=("dvd",), objects=str(tmp_path))
    cv2.imwrite(str(tmp_path / "opaque.png"), np.zeros((8, 8, 3), np.uint8))
    extra = ExtraBlur(datasets=("dvd",), objects=str(tmp_path))
    with pytest.raises(DeblurzooError, match=r"opaque\.png is not an 8-bit PNG with alpha channel"):
        [blur(extra, pair(), seed) for seed in SAMPLES]
