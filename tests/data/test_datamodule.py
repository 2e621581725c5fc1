from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from deblurzoo.data import DeblurDataModule, Toy
from deblurzoo.data.datamodule import FullFrames, TrainingCrops
from deblurzoo.data.sampling import Shuffle, StepSampler
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import DeblurzooError
from deblurzoo.synthesis import ExtraBlur

ALL = Augmentation(crop=16, zoom=(0.5, 1.0), rot90=True, flip=True, permute_channels=True)


def crops(toy: Path, augmentation: Augmentation = ALL, frames: int = 2, seed: int = 0) -> TrainingCrops:
    return TrainingCrops(Toy(str(toy), "blur").samples("train", frames), augmentation, seed)


def test_sample_is_a_function_of_seed_and_number(toy: Path) -> None:
    one, other = crops(toy), crops(toy)
    for number in (7, 3, 1000, 3):
        a, b = one[number], other[number]
        assert torch.equal(a.blur, b.blur) and torch.equal(a.sharp, b.sharp) and a.frame == b.frame
    assert any(not torch.equal(one[n].sharp, crops(toy, seed=1)[n].sharp) for n in range(4))
    assert any(not torch.equal(one[n].sharp, one[n + len(one.samples)].sharp) for n in range(4))


def test_every_image_of_a_sample_is_augmented_alike(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for kind in ("blur", "sharp"):
        folder = tmp_path / "train" / "A" / kind
        folder.mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(folder / f"{number}.png"), picture)
    data = crops(tmp_path, frames=3)
    for number in range(20):
        batch = data[number]
        assert batch.blur.shape == (3, 3, 16, 16)
        assert all(torch.equal(frame, batch.sharp) for frame in batch.blur)


def test_augmentations_do_what_they_say(toy: Path) -> None:
    plain = Augmentation(crop=48)
    sample = Toy(str(toy), "blur").samples("train", 1)[0]

    def variants(augmentation: Augmentation) -> set[bytes]:
        data = TrainingCrops([sample], augmentation, seed=0)
        return {data[number].sharp[:, 8:40, 8:40].numpy().tobytes() for number in range(60)}

    whole = np.ascontiguousarray(cv2.cvtColor(cv2.imread(str(sample.sharp)), cv2.COLOR_BGR2RGB).transpose(2, 0, 1))
    for number in range(10):
        crop = TrainingCrops([sample], plain, seed=0)[number].sharp.numpy()
        assert any(np.array_equal(crop, whole[:, :, x : x + 48]) for x in range(17))
    fixed = Augmentation(crop=48)
    square = TrainingCrops([sample], fixed, seed=0)
    assert len({square[n].sharp.numpy().tobytes() for n in range(60)}) <= 17
    assert len(variants(Augmentation(crop=48, permute_channels=True))) > len(variants(plain))
    assert len(variants(Augmentation(crop=48, rot90=True))) > len(variants(plain))
    assert len(variants(Augmentation(crop=48, flip=True))) > len(variants(plain))


def test_every_frame_is_seen_once_per_pass() -> None:
    order = Shuffle(seed=3, size=7)
    passes = [[order[number] for number in range(start, start + 7)] for start in (0, 7, 14)]
    assert all(sorted(indices) == list(range(7)) for indices in passes)
    assert len({tuple(indices) for indices in passes}) == 3


def test_resumed_sampler_gives_the_rest() -> None:
    whole = list(StepSampler(4, start=0, stop=10))
    assert list(StepSampler(4, start=6, stop=10)) == whole[6:]
    assert len(StepSampler(4, start=6, stop=10)) == 10


def test_two_processes_share_one_batch_without_overlap() -> None:
    single = list(StepSampler(4, start=2, stop=5))
    halves = [list(StepSampler(4, start=2, stop=5, rank=rank, world_size=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*halves, strict=True)] == single


def test_too_small_a_picture_names_file_and_key(toy: Path) -> None:
    with pytest.raises(DeblurzooError, match=r"\.png is 64x48, too small for loader\.augmentation\.crop=49"):
        crops(toy, Augmentation(crop=49))[0]
    with pytest.raises(DeblurzooError, match="too small"):
        crops(toy, Augmentation(crop=32, zoom=(0.5, 1.0)))[0]


def test_frames_of_two_sizes_name_the_odd_one(toy: Path, tmp_path: Path) -> None:
    sample = Toy(str(toy), "blur").samples("test", 1)[0]
    odd = tmp_path / "odd.png"
    cv2.imwrite(str(odd), np.zeros((48, 60, 3), np.uint8))
    with pytest.raises(DeblurzooError, match=r"odd\.png is 60x48 but .* is 64x48"):
        FullFrames([replace(sample, sharp=odd)])[0]


def test_validation_frames_are_a_fixed_spread(toy: Path) -> None:
    data = DeblurDataModule(Toy(str(toy), "blur"), 1, 0, batch_size=2, augmentation={"crop": 16}, val_frames=2)
    data.setup("fit")
    assert [sample.frame for sample in data.val_samples] == ["000001", "000003"]
    batch = next(iter(data.val_dataloader()))
    scaled = data.on_after_batch_transfer(batch, 0)
    assert scaled.blur.shape == (1, 1, 3, 48, 64) and scaled.blur.dtype == torch.float32
    assert 0.3 < scaled.blur.max() <= 1
    assert list(batch.clip) == ["TOY_test_000"]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_validation_frame_is_measured_by_one_process(toy: Path, processes: int) -> None:
    frames = []
    for rank in range(processes):
        data = DeblurDataModule(Toy(str(toy), "blur"), 1, 0, batch_size=2, augmentation={"crop": 16}, workers=0)
        data.setup("fit")
        data.trainer = SimpleNamespace(global_rank=rank, world_size=processes)  # type: ignore[assignment]
        frames += [frame for batch in data.val_dataloader() for frame in batch.frame]
    assert frames == ["000001", "000002", "000003"]


def test_extra_blur_is_for_its_data_set_alone(toy: Path) -> None:
    extra = Augmentation(crop=16, extra_blur=ExtraBlur(datasets=("dvd",), max_length=10))
    data = crops(toy, extra, frames=1)
    plain = [data[number] for number in range(8)]
    data.samples = [replace(sample, dataset="dvd") for sample in data.samples]
    blurred = [data[number] for number in range(8)]
    assert all(batch.blur.shape == (1, 3, 16, 16) for batch in [*plain, *blurred])
    assert sum(torch.equal(a.sharp, b.sharp) for a, b in zip(plain, blurred, strict=True)) >= 2
    assert sum(not torch.equal(a.blur, b.blur) for a, b in zip(plain, blurred, strict=True)) >= 4
