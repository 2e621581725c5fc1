from pathlib import Path

import numpy as np

from conftest import TINY_NETS, Run
from deblurzoo.data import Toy
from deblurzoo.data.datamodule import TrainingCrops
from deblurzoo.data.transforms import Augmentation
from deblurzoo.media.images import read_image
from deblurzoo.pictures.strips import COLUMNS, GAP


def test_picture_shows_the_first_training_samples(deblurzoo: Run, flow_toy: Path, tmp_path: Path) -> None:
    recipe = [*TINY_NETS["flow_rnn"], "datamodule.augmentation.crop=64", "samples=10", "seed=5"]
    arguments = ["data", "show", "experiment=flow_toy", f"data.root={flow_toy}", *recipe, "out=samples.png"]
    done = deblurzoo(*arguments)
    assert done.returncode == 0, done.stderr
    sheet = read_image(tmp_path / "samples.png")
    assert sheet.shape == (2 * (3 * 64 + GAP), COLUMNS * (64 + GAP), 3)
    augmentation = Augmentation(crop=64, rot90=True, flip=True, permute_channels=True)
    sample = TrainingCrops(Toy(str(flow_toy), "blur").samples("train", 2), augmentation, seed=5)[9]
    tower = sheet[3 * 64 + GAP : -GAP, 64 + GAP : 2 * 64 + GAP]
    for shown, frame in zip(np.split(tower, 3), (*sample.blur, sample.sharp), strict=True):
        np.testing.assert_array_equal(shown, frame.permute(1, 2, 0))
    assert {path.name for path in tmp_path.iterdir()} == {"samples.png"}
