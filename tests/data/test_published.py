"""Published data sets in their real layout and with their real names, from check to evaluation."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from conftest import Run
from deblurzoo.data import Bsd, Hide, RealBlur, Reds
from deblurzoo.errors import DeblurzooError

TINY = [
    *("model=svrnn", "model.net.width=0.0625", "model.vgg16=null", "recipe=toy", "callbacks=default", "logger=csv"),
    *("datamodule.augmentation.crop=32", "datamodule.augmentation.zoom=null", "datamodule.batch_size=2"),
    *("datamodule.val_frames=1", "datamodule.workers=0", "trainer=cpu", "trainer.max_steps=2"),
    "trainer.val_check_interval=2",
]
J = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"
R = "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref"


def write_pair(blur: Path, sharp: Path, seed: int, width: int = 96) -> None:
    """Write a part of a photo, and the same part with blur."""
    left = 20 * seed % 300
    image = cv2.cvtColor(skimage.data.coffee()[7 * seed : 7 * seed + 80, left : left + width], cv2.COLOR_RGB2BGR)
    for path, pixels in ((sharp, image), (blur, cv2.blur(image, (5, 1)))):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)


def write_hide(root: Path) -> None:
    for number, folder in enumerate(("train", "train", "test/test-close-ups", "test/test-long-shot")):
        write_pair(root / folder / f"{number}fromGOPR1001.png", root / "GT" / f"{number}fromGOPR1001.png", number)


def write_reds(root: Path) -> None:
    for part, clip in (("train", "000"), ("train", "239"), ("val", "029")):
        for frame in range(12):
            blur, sharp = (root / part / f"{part}_{kind}" / clip / f"{frame:08d}.png" for kind in ("blur", "sharp"))
            write_pair(blur, sharp, frame)


def write_realblur(root: Path, kind: str = "J") -> None:
    folder = {"J": J, "R": R}[kind]
    for split, scenes in (("train", ("scene001", "scene244_reflect")), ("test", ("scene230",))):
        lines = []
        for scene in scenes:
            for number in (1, 2, 10):
                blur, sharp = (f"{folder}/{scene}/{name}/{name}_{number}.png" for name in ("blur", "gt"))
                write_pair(root / blur, root / sharp, number, width=90 + number)
                lines.append(f"{sharp} {blur}\n")
        (root / f"RealBlur_{kind}_{split}_list.txt").write_text("".join(lines))


def write_bsd(root: Path) -> None:
    for split, clip in (("train", "000"), ("train", "010"), ("test", "049")):
        for frame in range(4):
            blur, sharp = (
                root / "BSD_2ms16ms" / split / clip / kind / "RGB" / f"{frame:08d}.png" for kind in ("Blur", "Sharp")
            )
            write_pair(blur, sharp, frame)


SETS: dict[str, Callable[[Path], None]] = {
    "hide": write_hide,
    "reds": write_reds,
    "realblur_j": write_realblur,
    "realblur_r": lambda root: write_realblur(root, "R"),
    "bsd_2ms16ms": write_bsd,
}


@pytest.mark.parametrize("name", SETS)
def test_a_data_set_is_checked_packed_trained_and_evaluated(name: str, tmp_path: Path, deblurzoo: Run) -> None:
    SETS[name](tmp_path / "root")
    data = [f"data={name}", f"data.root={tmp_path / 'root'}"]
    checked = deblurzoo("data", "check", *data)
    assert checked.returncode == 1, "most of the official pairs are missing"
    assert "unpaired" not in checked.stdout + checked.stderr and "unreadable" not in checked.stdout + checked.stderr
    packed = deblurzoo("data", "pack", *data, f"out={tmp_path / 'pack'}")
    assert packed.returncode == 0, packed.stderr
    shown = deblurzoo(
        "data",
        "show",
        *data,
        *TINY[:4],
        "datamodule.augmentation.crop=32",
        "datamodule.augmentation.zoom=null",
        "out=samples.png",
    )
    assert shown.returncode == 0, shown.stderr
    trained = deblurzoo("train", *data, f"data.packed={tmp_path / 'pack'}", *TINY, "name=run")
    assert trained.returncode == 0, trained.stderr
    done = deblurzoo("evaluate", "checkpoint=runs/run", *data, "trainer=cpu", "no_harm=0")
    assert done.returncode == 0, done.stderr
    (results,) = (json.loads(file.read_text()) for file in tmp_path.glob("runs/run/evaluate/*/results.json"))
    assert results["protocol"] == ("reds_all" if name == "reds" else name)
    assert ("psnr_aligned" in results["restored"]) == (results["measure"] == "realblur") == ("realblur" in name)


def test_the_frames_of_each_protocol_of_reds(tmp_path: Path) -> None:
    write_reds(tmp_path)

    def frames(protocol: str, split: str = "test") -> list[str]:
        return [sample.frame for sample in Reds(str(tmp_path), "blur", protocol).samples(split, 1)]

    assert frames("val300") == ["00000009"]
    assert len(frames("all")) == 12 and len(frames("val300", "train")) == 24
    assert sum(Reds.official["test"].values()) == 3000 and sum(Reds.official["train"].values()) == 24_000


def test_only_videos_have_neighbours(tmp_path: Path) -> None:
    write_reds(tmp_path)
    write_bsd(tmp_path)
    write_hide(tmp_path / "hide")
    assert len(Reds(str(tmp_path), "blur", "all").samples("test", 3)) == 10
    assert len(Bsd(str(tmp_path), "2ms16ms").samples("test", 2)) == 3
    with pytest.raises(DeblurzooError, match="the images of hide are not consecutive"):
        Hide(str(tmp_path / "hide")).samples("test", 2)


def test_scenes_of_realblur_are_those_of_the_lists(tmp_path: Path) -> None:
    write_realblur(tmp_path)
    data = RealBlur(str(tmp_path), "J")
    assert [(clip.name, clip.frames) for clip in data.clips("train")] == [
        ("scene001", ("1", "2", "10")), ("scene244_reflect", ("1", "2", "10")),
    ]  # fmt: skip
    assert {clip.blur[0].size() for clip in data.clips("test")} == {(91, 80)}
    write_pair(tmp_path / J / "scene999/blur/blur_1.png", tmp_path / J / "scene999/gt/gt_1.png", 1)
    assert [clip.name for clip in data.clips("test")] == ["scene230"]


def _without(path: str) -> Callable[[Path], None]:
    def remove(root: Path) -> None:
        shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()

    return remove


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("hide", _without("GT/2fromGOPR1001.png"), "2fromGOPR1001.png has no sharp counterpart"),
        ("hide", _without("test/test-close-ups"), "count: test has 1 pairs instead of the official 2025"),
        ("reds", _without("val/val_blur/029/00000003.png"), "00000003.png has no blurry counterpart"),
        ("reds", _without("val/val_sharp"), "has no folder val/val_sharp"),
        ("realblur_j", lambda root: None, "missing: test clip not in RealBlur_J_test_list.txt (977 pairs)"),
        ("realblur_r", lambda root: None, "missing: train clip not in RealBlur_R_train_list.txt (3752 pairs)"),
        ("realblur_j", _without(f"{J}/scene230"), "missing: test clip scene230 (3 pairs)"),
        ("realblur_j", _without(f"{J}/scene230/gt/gt_2.png"), "blur_2.png has no sharp counterpart"),
        ("realblur_j", _without("RealBlur_J_test_list.txt"), "RealBlur_J_test_list.txt cannot be read"),
        ("realblur_r", _without("RealBlur_R_train_list.txt"), "RealBlur_R_train_list.txt cannot be read"),
        ("bsd_2ms16ms", _without("BSD_2ms16ms/test/049/Blur/RGB/00000001.png"), "00000001.png has no blurry"),
        ("bsd_2ms16ms", _without("BSD_2ms16ms/test"), "has no folder BSD_2ms16ms/test"),
        ("bsd_2ms16ms", _without("BSD_2ms16ms/train/010"), "missing: train clip 60 of 60 (100 pairs)"),
        ("bsd_2ms16ms", _without("BSD_2ms16ms/train/010"), "count: 049 has 4 pairs instead of the official 150"),
    ],
)
def test_missing_files_are_named(
    name: str, damage: Callable[[Path], None], message: str, tmp_path: Path, deblurzoo: Run
) -> None:
    SETS[name](tmp_path / "root")
    damage(tmp_path / "root")
    done = deblurzoo("data", "check", f"data={name}", f"data.root={tmp_path / 'root'}")
    assert done.returncode == 1 and message in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr


def test_images_of_mixed_sizes_are_named(tmp_path: Path, deblurzoo: Run) -> None:
    write_reds(tmp_path)
    cv2.imwrite(str(tmp_path / "val/val_sharp/029/00000004.png"), np.zeros((40, 50, 3), np.uint8))
    done = deblurzoo("data", "check", "data=reds", f"data.root={tmp_path}")
    assert done.returncode == 1 and "00000004.png is 50x40, but most images" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "data=reds data.blur=blur_mpeg",
            "data.blur=blur_mpeg is not a blur of reds: choose blur, blur_comp, blur_jpeg",
        ),
        ("data=reds data.protocol=300", "data.protocol=300"),
        ("data=realblur_j data.kind=X", "data.kind=X is not a kind of RealBlur: choose J or R"),
        ("data=bsd_1ms8ms data.exposures=4ms", "data.exposures=4ms is not a part of BSD"),
        ("data=hide", "data.root is not set"),
    ],
)
def test_wrong_options_are_named(words: str, message: str, deblurzoo: Run) -> None:
    done = deblurzoo("data", "check", *words.split())
    assert done.returncode == 1 and message in " ".join((done.stdout + done.stderr).split())
