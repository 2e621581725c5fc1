import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import SMALL_TOY
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image
from deblurzoo.synthesis.motion import hand_shake
from deblurzoo.synthesis.options import ToyOptions
from deblurzoo.synthesis.toy import PHOTOGRAPHS, write_toy


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_same_seed_same_bytes(toy: Path, tmp_path: Path) -> None:
    write_toy(tmp_path / "again", SMALL_TOY)
    assert contents(tmp_path / "again") == contents(toy)


def test_layout_is_gopros(toy: Path) -> None:
    assert sorted(p.name for p in toy.iterdir()) == ["test", "toy.json", "train"]
    for clip in toy.glob("*/*"):
        for folder in ("blur", "blur_gamma", "sharp"):
            assert [p.name for p in sorted((clip / folder).iterdir())] == ["000001.png", "000002.png", "000003.png"]
    assert json.loads((toy / "toy.json").read_text())["options"]["seed"] == SMALL_TOY.seed


def test_pictures_are_blurred_and_the_two_blurs_differ(toy: Path) -> None:
    def detail(image: np.ndarray) -> float:
        return float(
            np.abs(np.diff(image.astype(float), axis=0)).mean() + np.abs(np.diff(image.astype(float), axis=1)).mean()
        )

    sharper = []
    for blur in sorted(toy.glob("*/*/blur/*.png")):
        sharp, stored, linear = (
            read_image(blur.parents[1] / kind / blur.name) for kind in ("sharp", "blur", "blur_gamma")
        )
        sharper.append(detail(sharp) / detail(stored))
        assert linear.astype(int).sum() >= stored.astype(int).sum()  # a mean in linear light is never darker
        assert not np.array_equal(linear, stored)
    assert np.mean(sharper) > 1.1


def test_no_photograph_is_in_both_splits() -> None:
    assert not set(PHOTOGRAPHS["train"]) & set(PHOTOGRAPHS["test"])
    assert all(path.is_file() for paths in PHOTOGRAPHS.values() for path in paths)


def test_hand_shake_has_the_length_asked_for() -> None:
    path = hand_shake(np.random.default_rng(0), steps=88, exposure=11, length=5.0)
    steps = np.linalg.norm(np.diff(path.shift, axis=0), axis=1)
    assert steps.mean() * 10 == pytest.approx(5.0, rel=0.02)
    assert steps.max() < 1.5  # pixels per sub-frame: no ghosting in the average


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"height": 100_000_000}, "height=100000000 of the toy data must be from 16 to 4096"),
        ({"width": 15}, "width=15 of the toy data must be from 16 to 4096"),
        ({"frames": 0}, "frames=0 of the toy data must be from 1 to 100000"),
        ({"train_clips": 10**12}, "train_clips=1000000000000 of the toy data must be from 1 to 100000"),
        ({"max_blur": float("inf")}, "max_blur=inf of the toy data must be from 0 to 256"),
        ({"min_blur": float("nan")}, "min_blur=nan of the toy data must be from 0 to 256"),
        ({"min_blur": 8.0}, "min_blur=8.0 of the toy data must not exceed max_blur=7.0"),
    ],
)
def test_sizes_and_blurs_that_cannot_be_drawn_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(DeblurzooError, match=reason):
        ToyOptions(**options)


def test_existing_folder_is_left_alone(toy: Path) -> None:
    before = contents(toy)
    with pytest.raises(DeblurzooError, match="exists already"):
        write_toy(toy, SMALL_TOY)
    assert contents(toy) == before
