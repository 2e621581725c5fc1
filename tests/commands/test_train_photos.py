"""Training on photos, from the command line."""

import csv
from pathlib import Path

import cv2
import numpy as np

from conftest import TINY, TINY_NETS, TINY_RUN, Run
from deblurzoo.media.images import read_image
from verbs import refused

PHOTOS = ["data=photos", "data.root=photos", "data.length=[3,6]", "data.test.exposures=1"]
FLOW = ["model=flow_rnn", *PHOTOS, *TINY_RUN, *TINY_NETS["flow_rnn"], "trainer.max_steps=2", "name=flow"]


def test_flow_rnn_learns_flow_from_photos_and_is_compared_with_the_true_flow(
    deblurzoo: Run, photos: Path, tmp_path: Path
) -> None:
    done = deblurzoo("train", *FLOW, "trainer.val_check_interval=2")
    assert done.returncode == 0, done.stderr
    with next(tmp_path.glob("runs/flow/csv/*/metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    assert "train/warp_next_1_4" in rows[0]
    assert 0 < float(rows[-1]["val/epe"]) < 100 and float(rows[-1]["val/epe_of_zero_flow"]) > 0
    done = deblurzoo("evaluate", "checkpoint=runs/flow", *PHOTOS, "trainer=cpu")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "data" / "photos").iterdir())) == 1  # training and evaluation share the exposures
    assert len(list(tmp_path.glob("runs/flow/evaluate/photos_blur/restored/*/*.png"))) == 1


def test_the_true_flow_of_toy_clips_is_used_as_well(deblurzoo: Run, flow_toy: Path, tmp_path: Path) -> None:
    toy = [argument for argument in FLOW if argument not in PHOTOS]
    done = deblurzoo("train", *toy, f"data.root={flow_toy}", "trainer.val_check_interval=2")
    assert done.returncode == 0, done.stderr
    assert "val/epe_of_zero_flow" in next(tmp_path.glob("runs/flow/csv/*/metrics.csv")).read_text()


def test_samples_of_photos_are_shown(deblurzoo: Run, photos: Path, tmp_path: Path) -> None:
    done = deblurzoo("data", "show", *PHOTOS, *TINY, "samples=4", "out=samples.png")
    assert done.returncode == 0, done.stderr
    blurry, sharp = np.split(read_image(tmp_path / "samples.png")[:32, :16].astype(float), 2)
    assert 0 < np.abs(blurry - sharp).mean() < 60


def test_check_names_a_truncated_photo_and_packing_leaves_it_out(deblurzoo: Run, photos: Path, tmp_path: Path) -> None:
    assert deblurzoo("data", "check", *PHOTOS).returncode == 0
    cv2.imwrite(str(photos / "8.jpg"), cv2.imread(str(photos / "1.png")))
    (photos / "8.jpg").write_bytes((photos / "8.jpg").read_bytes()[:4000])
    refused(deblurzoo("data", "check", *PHOTOS), "1 problem in photos, listed above")
    packed = deblurzoo("data", "pack", *PHOTOS, "out=packed")
    assert packed.returncode == 0 and "8.jpg" in packed.stdout + packed.stderr
    assert (
        deblurzoo("train", *TINY, *PHOTOS, "data.packed=packed", "data.root=null", "trainer.max_steps=1").returncode
        == 0
    )


def test_a_folder_without_photos_ends_with_one_message(deblurzoo: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    refused(deblurzoo("train", *TINY, *PHOTOS), "data.root=photos contains no photos: set it to a folder of photos")
