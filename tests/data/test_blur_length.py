"""Blur lengths: of simulated paths, and of the motion between sharp neighbours."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from conftest import Run
from deblurzoo.data import Folder, Photos
from deblurzoo.data.blur_length import tile_lengths
from deblurzoo.data.clips import Sample
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image, write_png
from deblurzoo.reports.blur_sizes import gain_by_blur
from deblurzoo.reports.results import read


def clip(folder: Path, shifts: dict[str, int], side: int = 160, **options: bool) -> list[Sample]:
    """Return the samples of a clip whose frames show a photo from different positions."""
    for name, shift in shifts.items():
        for kind in ("blur", "sharp"):
            image = skimage.data.coffee()[100 : 100 + side, 20 + shift : 20 + shift + side]
            write_png(folder / kind / f"{name}.png", np.ascontiguousarray(image))
    pair: dict[str, str | None] = {kind: str(folder / kind) for kind in ("blur", "sharp")}
    return Folder(train=pair, test=pair, **options).samples("test", 1)


def lengths(sample: Sample) -> np.ndarray | None:
    return tile_lengths(sample, sample.sharp.read())


def test_without_a_path_the_length_is_the_motion_to_both_neighbours(tmp_path: Path) -> None:
    samples = clip(tmp_path, {"1": 0, "2": 2, "3": 6})
    for sample, expected in zip(samples, (2, 3, 4), strict=True):
        found = lengths(sample)
        assert found is not None and found.shape == (2, 2)
        assert np.median(found) == pytest.approx(expected, abs=0.3)


def test_a_gap_has_no_motion(tmp_path: Path) -> None:
    samples = clip(tmp_path, {"1": 0, "2": 2, "3": 4, "7": 40})
    assert [len(sample.neighbours) for sample in samples] == [1, 2, 1, 0]
    assert lengths(samples[3]) is None


@pytest.mark.parametrize("case", ["single", "small", "cut"])
def test_frames_without_a_known_length_have_no_tiles(case: str, tmp_path: Path) -> None:
    side, far = (60 if case == "small" else 160), (300 if case == "cut" else 2)
    samples = clip(tmp_path, {"1": 0, "2": far}, side=side, consecutive=case != "single")
    assert [lengths(sample) for sample in samples] == [None, None]


def test_test_exposures_of_photos_have_the_length_of_their_path(photos: Path, tmp_path: Path) -> None:
    (sample, *_) = Photos(str(photos), (6, 6), str(tmp_path / "cache"), objects=0).samples("test", 1)
    found = lengths(sample)
    assert found is not None and found == pytest.approx(6, rel=0.5) and sample.length
    np.save(sample.length, found[:, :1])
    with pytest.raises(DeblurzooError, match=re.escape(f"{sample.length} has shape {found[:, :1].shape}, not")):
        lengths(sample)
    np.save(sample.length, np.full(found.shape, np.nan))
    with pytest.raises(DeblurzooError, match="has values that are not finite"):
        lengths(sample)
    sample.length.write_bytes(b"damaged")
    with pytest.raises(DeblurzooError, match=f"{sample.length} cannot be read .*: remove or replace it"):
        lengths(sample)


def test_an_evaluation_keeps_the_errors_of_tiles(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    clip(tmp_path / "clip", {"1": 0, "2": 2, "3": 6})
    blurry = tmp_path / "clip" / "blur" / "2.png"
    cv2.imwrite(str(blurry), cv2.GaussianBlur(cv2.imread(str(blurry)), (0, 0), 2))
    data = ["data=folder", "data.test.blur=clip/blur", "data.test.sharp=clip/sharp", "trainer=cpu", "out=out"]
    done = deblurzoo("evaluate", f"checkpoint={identity}", *data, "datamodule.workers=0", "no_harm=0")
    assert done.returncode == 0, done.stderr
    results = read(tmp_path / "out" / "results.json")
    (image,) = results.images  # the two other pairs are identical
    assert image.tiles and image.tiles.restored == image.tiles.blurry, "the network returns its input"
    first, second = (read_image(tmp_path / "clip" / kind / "2.png")[:64, :64] for kind in ("blur", "sharp"))
    error = np.square(first.astype(float) - second).mean()
    assert image.tiles.blurry[0] == pytest.approx(error, rel=1e-3)
    gains = gain_by_blur(results)
    assert sum(gain.tiles for gain in gains) == 4 and {gain.gain for gain in gains} == {0.0}
