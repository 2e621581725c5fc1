from pathlib import Path

import pytest
import torch

from deblurzoo.data import Toy
from deblurzoo.data.batches import SLOTS, BatchLoader
from deblurzoo.data.datamodule import FullFrames, TrainingCrops
from deblurzoo.data.sampling import StepSampler
from deblurzoo.data.transforms import Augmentation


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_that_are_kept_are_never_overwritten(toy: Path, workers: int) -> None:
    crops = TrainingCrops(Toy(str(toy), "blur").samples("train", 2), Augmentation(crop=16), seed=0)
    steps = list(StepSampler(3, 0, 4 * workers * SLOTS + 3))
    loader = BatchLoader(crops, workers, batch_sampler=steps)
    for _ in range(2):
        first = iter(loader)
        for _ in range(3):
            next(first)  # an iteration that is given up leaves batches behind
    for step, batch in zip(steps, list(loader), strict=True):
        assert batch.blur.shape == (3, 2, 3, 16, 16) and batch.sharp.shape == (3, 3, 16, 16)
        for index, number in enumerate(step):
            assert torch.equal(batch.blur[index], crops[number].blur)
            assert torch.equal(batch.sharp[index], crops[number].sharp)
            assert (batch.clip[index], batch.frame[index]) == crops[number][2:]


def test_pictures_of_any_sizes_are_given_one_by_one(toy: Path, flow_toy: Path) -> None:
    samples = [s for _ in range(4) for root in (toy, flow_toy) for s in Toy(str(root), "blur").samples("test", 1)]
    data = FullFrames(samples)
    batches = list(BatchLoader(data, 1, batch_size=1))
    assert {batch.sharp.shape for batch in batches} == {(1, 3, 48, 64), (1, 3, 70, 90)}
    assert all(torch.equal(batch.blur[0], data[index].blur) for index, batch in enumerate(batches))
