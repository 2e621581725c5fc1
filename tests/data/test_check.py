import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import Run
from deblurzoo.data import Toy
from deblurzoo.data.check import check


@pytest.fixture
def copy(toy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy, tmp_path / "toy"))


def test_whole_data_set_has_no_problems(toy: Path) -> None:
    assert check(Toy(str(toy), "blur")) == []


def test_every_kind_of_damage_is_named(copy: Path) -> None:
    a, b = copy / "train" / "TOY_train_000", copy / "train" / "TOY_train_001"
    (a / "blur" / "000002.png").write_bytes((a / "blur" / "000002.png").read_bytes()[:500])
    (a / "sharp" / "000003.png").unlink()
    for kind in ("blur", "sharp"):
        (b / kind / "000002.png").unlink()
    cv2.imwrite(str(b / "sharp" / "000001.png"), np.zeros((40, 64, 3), np.uint8))
    shutil.rmtree(copy / "test" / "TOY_test_000")
    problems = "\n".join(check(Toy(str(copy), "blur")))
    assert f"unreadable: {a / 'blur' / '000002.png'}" in problems
    assert f"unpaired: {a / 'blur' / '000003.png'} has no sharp partner" in problems
    assert f"missing: {b}: frame 000002" in problems
    assert f"size: {b / 'sharp' / '000001.png'} is 64x40, the rest of the clip 64x48" in problems
    assert "empty: the test split" in problems
    assert len(problems.splitlines()) == 5


def test_official_counts_are_compared(deblurzoo: Run, copy: Path) -> None:
    clip = copy / "train" / "TOY_train_000"
    clip.rename(clip.with_name("GOPR0372_07_00"))
    done = deblurzoo("data", "check", "data=gopro", f"data.root={copy}")
    assert done.returncode == 1
    assert "count: GOPR0372_07_00 has 3 pairs, officially 100" in done.stderr
    assert "missing: test clip GOPR0862_11_00 (77 pairs)" in done.stderr
    assert "foreign: TOY_train_001 is no train clip of gopro" in done.stderr
    assert "Traceback" not in done.stderr


def test_command_succeeds_on_a_whole_data_set(deblurzoo: Run, toy: Path) -> None:
    done = deblurzoo("data", "check", "data=toy", f"data.root={toy}")
    assert done.returncode == 0, done.stderr
    assert "no problems" in done.stdout
