"""Photos: drawn exposures, and their rendering on the device."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from data.photos import SMALL, crops, parameters, source
from deblurzoo.batch import Batch
from deblurzoo.data import Photos, Toy
from deblurzoo.data.batches import BatchLoader, Collation
from deblurzoo.data.clips import NEIGHBOURS
from deblurzoo.data.datamodule import DeblurDataModule, TrainingCrops
from deblurzoo.data.degrade import rendered
from deblurzoo.data.exposing import unrendered
from deblurzoo.data.sampling import StepSampler
from deblurzoo.data.transforms import Augmentation
from deblurzoo.media.images import read_image
from deblurzoo.ops.warp import warp
from deblurzoo.synthesis.formation import expose
from deblurzoo.synthesis.options import Response
from deblurzoo.synthesis.stills import Exposures, Shake, expose_photo

RESPONSES: tuple[Response, ...] = (None, 2.2, "srgb")


def drawn(seed: int, frames: int = 2, objects: int = 2, size: int = 64) -> Exposures:
    rng, shake = np.random.default_rng(seed), Shake(5, 20, objects=objects)
    photo, side = skimage.data.coffee(), size + 2 * shake.margin(frames)
    top, left = (int(rng.integers(extent - side)) for extent in photo.shape[:2])
    crop = np.ascontiguousarray(photo[top : top + side, left : left + side])
    return expose_photo(crop, rng, shake, NEIGHBOURS[frames], shake.margin(frames))


def on_device(exposures: Exposures, response: Response = None) -> Batch:
    """Return the exposures as rendered in a batch of one sample."""
    todo = unrendered(exposures, response)
    frames, (height, width) = todo.shape[0][1], exposures.size
    empty = torch.empty(1, frames, 3, height, width)
    return rendered(Batch(empty, empty[:, 0].clone(), ["clip"], ["frame"], unrendered=todo))


def levels(images: torch.Tensor) -> np.ndarray:
    """Return images (..., 3, H, W) in [0, 1] as (..., H, W, 3), from 0 to 255."""
    return images.movedim(-3, -1).numpy() * 255


@pytest.mark.parametrize("seed", range(20))
def test_the_device_and_the_cpu_render_the_same_exposures(seed: int) -> None:
    exposures, response = drawn(seed), RESPONSES[seed % 3]
    batch = on_device(exposures, response)
    opacity = [
        layer.at(i, exposures.size)[..., 3] for layer in exposures.layers[1:] for i in range(2 * exposures.steps)
    ]
    edges = np.array([(one > 0.01) & (one < 0.99) for one in opacity] or np.zeros((1, *exposures.size))).any(axis=0)
    assert not edges.all()
    for number, blur in enumerate(batch.blur[0]):
        difference = np.abs(levels(blur) - expose(exposures.frames(number), response))
        assert difference.mean() <= 2 and difference[~edges].max() <= 8
    sharp = exposures.frames(0)[exposures.steps // 2]
    assert np.abs(levels(batch.sharp[0]) - sharp).max() <= 1


def test_exposures_are_consecutive_parts_of_one_path() -> None:
    """The frame to restore is at rest in its middle; the next and the previous frame are on both sides of it."""
    for seed in range(6):
        camera = drawn(seed, frames=3, objects=0).layers[0].trajectory.shift.reshape(3, -1, 2)
        middle = camera.shape[1] // 2
        here, following, previous = camera
        assert not here[middle].any()
        step = np.linalg.norm(np.diff(here, axis=0), axis=1)
        for end, start in ((here[-1], following[0]), (previous[-1], here[0])):
            assert np.linalg.norm(start - end) < 0.6 * step.sum() + step.max()  # dead time: at most half an exposure
        assert step.max() <= 1.05


def test_the_true_flow_aligns_the_next_sharp_image() -> None:
    for seed in range(4):
        exposures = drawn(seed, objects=0)
        here, following = (
            torch.from_numpy(exposures.frames(number)[exposures.steps // 2]).permute(2, 0, 1)[None] / 255
            for number in (0, 1)
        )
        flow = torch.from_numpy(exposures.flow(0, 1))[None]
        assert flow.norm(dim=1).mean() > 2
        inside = warp(torch.ones_like(here), flow) == 1
        aligned, before = ((one - here).abs()[inside].mean() for one in (warp(following, flow), following))
        assert aligned < 0.25 * before


@pytest.mark.parametrize("frames", [1, 2])
def test_parameters_do_not_depend_on_workers_and_processes(photos: Path, frames: int) -> None:
    def loaded(workers: int, rank: int = 0, processes: int = 1) -> list[Batch]:
        steps = list(StepSampler(4, 3, 6, rank, processes))
        return list(BatchLoader(crops(photos, frames), workers, batch_sampler=steps))

    first = loaded(0)
    for workers in (1, 2):
        assert [parameters(batch) for batch in loaded(workers)] == [parameters(batch) for batch in first]
    halves = zip(loaded(0, 0, 2), loaded(1, 1, 2), strict=True)
    for whole, (one, other) in zip(first, halves, strict=True):
        assert torch.equal(whole.unrendered.maps, torch.cat([one.unrendered.maps, other.unrendered.maps]))  # type: ignore[union-attr]
        assert torch.equal(whole.unrendered.photo, torch.cat([one.unrendered.photo, other.unrendered.photo]))  # type: ignore[union-attr]


def finished(source: Photos, batch: Batch) -> Batch:
    return DeblurDataModule(source, 2, 0, 1, SMALL, workers=0).on_after_batch_transfer(batch, 0)


def test_images_do_not_depend_on_the_size_of_the_batch(photos: Path) -> None:
    data, collate = crops(photos, frames=2), Collation()
    samples = [data[number] for number in range(6)]
    together = finished(source(photos), collate(samples))
    for number, sample in enumerate(samples):
        alone = finished(source(photos), collate([sample]))
        assert torch.equal(together.blur[number], alone.blur[0])
        assert torch.equal(together.sharp[number], alone.sharp[0])
    assert len({blur.numpy().tobytes() for blur in together.blur}) == 6


def test_photos_and_pairs_share_a_batch(photos: Path, toy: Path) -> None:
    whole = Augmentation(crop=32)
    pairs, data = (TrainingCrops(one.samples("train", 2), whole, 0) for one in (Toy(str(toy), "blur"), source(photos)))
    mixed = finished(source(photos), Collation()([pairs[0], data[0], pairs[1], data[1]]))
    assert torch.equal(mixed.blur[2], pairs[1].blur / 255) and torch.equal(mixed.sharp[0], pairs[0].sharp / 255)
    assert torch.equal(mixed.blur[3], finished(source(photos), Collation()([data[1]])).blur[0])


@pytest.mark.parametrize("of_photos", [True, False])
def test_noise_and_jpeg_degrade_the_blurry_frames_of_any_data_set(of_photos: bool, photos: Path, toy: Path) -> None:
    data = source(photos) if of_photos else Toy(str(toy), "blur")

    def batch(**options: Any) -> Batch:
        crops = TrainingCrops(data.samples("train", 2), Augmentation(crop=32, **options), seed=0)
        return finished(source(photos), Collation()([crops[number] for number in range(4)]))

    plain, noisy, compressed = batch(), batch(noise=(5, 5)), batch(jpeg=(30, 30))
    assert torch.equal(plain.sharp, noisy.sharp) and torch.equal(plain.sharp, compressed.sharp)
    unclipped = (plain.blur > 0.1) & (plain.blur < 0.9)
    assert 4.5 < 255 * (noisy.blur - plain.blur)[unclipped].std() < 5.5
    for before, after in zip(plain.blur.flatten(0, 1), compressed.blur.flatten(0, 1), strict=True):
        image = np.ascontiguousarray(levels(before).round().astype(np.uint8)[..., ::-1])
        jpeg = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)[..., ::-1]
        error = np.abs(levels(after) - levels(before)).mean()
        assert np.abs(levels(after) - jpeg).mean() < 0.8 * error and error > 0.5
    assert torch.equal(noisy.blur, batch(noise=(5, 5)).blur)


def test_every_sample_is_a_new_exposure(photos: Path) -> None:
    data = crops(photos, length=(6, 8), objects=0)
    batch = finished(source(photos), Collation()([data[number] for number in range(0, 50, 5)]))
    assert len(set(batch.frame)) < len(batch.frame)  # photos recur
    assert len({sharp.numpy().tobytes() for sharp in batch.sharp}) == 10
    assert all((blur[0] - sharp).abs().mean() > 1 / 255 for blur, sharp in zip(batch.blur, batch.sharp, strict=True))


def test_without_motion_the_blurry_image_is_a_part_of_the_photo(photos: Path) -> None:
    data = TrainingCrops(source(photos, length=(0, 0), objects=0).samples("train", 1), Augmentation(crop=32), seed=0)
    for number in range(5):
        batch = finished(source(photos), Collation()([data[number]]))
        crop, photo = levels(batch.sharp[0]).round().astype(np.uint8), read_image(photos / batch.frame[0])
        assert torch.equal(batch.blur[0, 0], batch.sharp[0])
        _, _, (left, top), _ = cv2.minMaxLoc(cv2.matchTemplate(photo, crop, cv2.TM_SQDIFF))
        assert np.array_equal(photo[top : top + 32, left : left + 32], crop)


def test_photos_are_reduced_to_a_shorter_side(photos: Path) -> None:
    """The path of 8 pixels is measured in pixels of the reduced photo."""
    whole, small = (crops(photos, shorter_side=side)[1].unrendered for side in (None, 100))
    assert whole and small and whole.photo.shape == small.photo.shape
    detail = [one.photo.float().diff(dim=3).abs().mean() for one in (whole, small)]
    assert detail[1] > detail[0]
