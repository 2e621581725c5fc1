from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from deblurzoo.data import Toy
from deblurzoo.data.batches import Collation
from deblurzoo.data.datamodule import DeblurDataModule, FullFrames, TrainingCrops
from deblurzoo.data.sampling import Shuffle, StepSampler
from deblurzoo.data.sizes import require_sizes
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import ImageFile
from deblurzoo.synthesis.extra_blur import ExtraBlur

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
    samples = Toy(str(toy), "blur").samples("train", 1)
    with pytest.raises(DeblurzooError, match=r"\.png is 64x48, too small for datamodule\.augmentation\.crop=49"):
        require_sizes(samples, Augmentation(crop=49))
    with pytest.raises(DeblurzooError, match="too small"):
        require_sizes(samples, Augmentation(crop=25, zoom=(0.5, 1.0)))
    for smallest in (
        Augmentation(crop=48),
        Augmentation(crop=24, zoom=(0.5, 1.0)),
        Augmentation(crop=20, zoom=(0.42, 1)),
    ):
        require_sizes(samples, smallest)
        crops = TrainingCrops(samples, smallest, seed=0)
        assert {crops[number].sharp.shape[-1] for number in range(40)} == {smallest.crop}


def test_frames_of_two_sizes_name_the_odd_one(toy: Path, tmp_path: Path) -> None:
    sample = Toy(str(toy), "blur").samples("test", 2)[0]
    odd = tmp_path / "odd.png"
    cv2.imwrite(str(odd), np.zeros((48, 60, 3), np.uint8))
    mixed = replace(sample, blur=(sample.blur[0], ImageFile(odd)))
    with pytest.raises(DeblurzooError, match=r"odd\.png is 60x48 but .* is 64x48"):
        FullFrames([mixed])[0]
    with pytest.raises(DeblurzooError, match=r"odd\.png is 60x48 but .* is 64x48"):
        require_sizes([sample, mixed])


def test_zooms_are_uniform_and_the_crop_is_anywhere(tmp_path: Path) -> None:
    """The slope of a ramp image reveals the zoom factor, its values reveal the crop position."""
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 64, 3))
    pipeline = Augmentation(crop=16, zoom=(0.25, 1.0)).compose(images=1)
    shrunk = []
    for seed in range(400):
        pipeline.set_random_seed(seed)
        shrunk.append(pipeline(image=ramp)["image"][0, :, 0].astype(float))
    zooms = np.array([4 * 15 / (row[-1] - row[0]) for row in shrunk])
    assert 0.24 <= zooms.min() < 0.3 and 0.95 < zooms.max() <= 1.03
    np.testing.assert_allclose(np.quantile(zooms, [0.25, 0.5, 0.75]), [0.4375, 0.625, 0.8125], atol=0.06)
    assert min(row[0] for row in shrunk) < 10 and max(row[-1] for row in shrunk) > 242


def test_validation_frames_are_a_fixed_spread(toy: Path) -> None:
    data = DeblurDataModule(Toy(str(toy), "blur"), 1, 0, batch_size=2, augmentation=Augmentation(crop=16), val_frames=2)
    data.setup("fit")
    assert [sample.frame for sample in data.val_samples] == ["000001", "000003"]
    batch = next(iter(data.val_dataloader()))
    scaled = data.on_after_batch_transfer(batch, 0)
    assert scaled.blur.shape == (1, 1, 3, 48, 64) and scaled.blur.dtype == torch.float32
    assert 0.3 < scaled.blur.max() <= 1
    assert list(batch.clip) == ["TOY_test_000"]
    assert torch.equal(scaled.sharp[0], FullFrames(data.val_samples)[0].sharp / 255)
    assert scaled.blur.is_contiguous() and scaled.sharp.is_contiguous()


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_validation_frame_is_measured_by_one_process(toy: Path, processes: int) -> None:
    frames = []
    for rank in range(processes):
        data = DeblurDataModule(
            Toy(str(toy), "blur"), 1, 0, batch_size=2, augmentation=Augmentation(crop=16), workers=0
        )
        data.setup("fit")
        data.trainer = SimpleNamespace(global_rank=rank, world_size=processes)  # type: ignore[assignment]
        frames += [frame for batch in data.val_dataloader() for frame in batch.frame]
    assert frames == ["000001", "000002", "000003"]


def test_extra_blur_is_for_its_data_set_alone_and_leaves_the_sharp_frame(toy: Path) -> None:
    extra = Augmentation(crop=16, extra_blur=ExtraBlur(datasets=("dvd",), max_length=10))
    data = crops(toy, extra, frames=2)
    plain = [data[number] for number in range(24)]
    samples = data.samples
    data.samples = [replace(sample, dataset="dvd" if index % 2 else "toy") for index, sample in enumerate(samples)]
    of_dvd = [bool(data.order[number] % 2) for number in range(24)]
    module = DeblurDataModule(Toy(str(toy), "blur"), 2, 0, batch_size=24, augmentation=extra, workers=0)
    before, after = (
        module.on_after_batch_transfer(Collation()(some), 0) for some in (plain, [data[number] for number in range(24)])
    )
    assert after.blur.shape == before.blur.shape == (24, 2, 3, 16, 16)
    kept = [torch.equal(before.sharp[n], after.sharp[n]) for n in range(24)]
    changed = [all(not torch.equal(before.blur[n, t], after.blur[n, t]) for t in range(2)) for n in range(24)]
    assert not any(changed[n] or not kept[n] for n in range(24) if not of_dvd[n])
    without_object = [n for n in range(24) if of_dvd[n] and kept[n]]
    assert 2 <= len(without_object) <= 10
    assert sum(changed[n] for n in without_object) >= len(without_object) - 1


def test_sharp_frames_with_their_sharp_neighbours_come_after_the_test_frames(toy: Path) -> None:
    source = Toy(str(toy), "blur")
    datamodule = DeblurDataModule(source, 2, seed=0, batch_size=1, augmentation=Augmentation(crop=16), no_harm=1)
    datamodule.setup("test")
    *blurry, sharp = datamodule.test_samples
    assert [sample.is_fed_sharp for sample in datamodule.test_samples] == [False, False, True]
    assert [Path(str(frame)).parent.name for frame in (*sharp.blur, sharp.sharp)] == ["sharp"] * 3
    assert [frame.stored()[0] for frame in sharp.blur] == [frame.stored()[0] for frame in blurry[0].blur]
    assert (sharp.clip, sharp.frame) == (blurry[0].clip, blurry[0].frame)
    datamodule.measured = 2
    batch = FullFrames(datamodule.test_samples[2:])[0]
    assert torch.equal(batch.blur[0], batch.sharp) and not torch.equal(batch.blur[1], batch.sharp)
    assert len(datamodule.test_dataloader()) == 1
