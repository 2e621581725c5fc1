"""Photos: their splits, the fixed test exposures, packs, and photos that cannot be used."""

import logging
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from data.photos import SMALL, crops, parameters, source
from deblurzoo.commands.synthesize import main as synthesize
from deblurzoo.config import checked
from deblurzoo.data import Photos
from deblurzoo.data.datamodule import DeblurDataModule, FullFrames, TrainingCrops
from deblurzoo.data.fingerprint import fingerprint
from deblurzoo.data.packing import pack
from deblurzoo.data.photos import TestPhotos, TrainingPhotos
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image
from deblurzoo.ops.warp import warp


def test_every_sixth_photo_is_for_testing_unless_files_name_them(photos: Path, tmp_path: Path) -> None:
    def splits(data: Photos) -> list[list[str]]:
        return [[path.name for path in data.clip_files(split)[0].sharp] for split in ("train", "test")]

    names = [f"{number}.png" for number in range(1, 8)]
    assert splits(source(photos)) == [[*names[:5], names[6]], [names[5]]]
    (tmp_path / "test.txt").write_text("2.png\n\n 3.png \n")
    test = TestPhotos(names=str(tmp_path / "test.txt"))
    assert splits(source(photos, test=test)) == [[names[0], *names[3:]], names[1:3]]
    (tmp_path / "train.txt").write_text("1.png\n2.png\n")
    train = TrainingPhotos(names=str(tmp_path / "train.txt"))
    assert splits(source(photos, train=train)) == [names[:2], [names[6]]]
    with pytest.raises(DeblurzooError, match=r"2\.png is in both data\.train\.names and data\.test\.names"):
        splits(source(photos, train=train, test=test))
    (tmp_path / "train.txt").write_text("9.png\n")
    with pytest.raises(DeblurzooError, match=r"train\.txt lists photos that are not in .*: 9\.png"):
        splits(source(photos, train=train))
    with pytest.raises(DeblurzooError, match=r"data\.test\.names=nothing\.txt cannot be read"):
        splits(source(photos, test=TestPhotos(names="nothing.txt")))


def test_all_photos_can_be_for_testing(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("".join(f"{number}.png\n" for number in range(1, 8)))
    data = source(photos, test=TestPhotos(names=str(tmp_path / "test.txt"), exposures=1))
    assert len(data.clip_files("test")[0].sharp) == 7
    with pytest.raises(DeblurzooError, match=r"no photo of data\.root=.* is left for the train split: add photos"):
        data.clip_files("train")


def test_lists_of_names_may_have_a_byte_order_mark_and_must_not_be_empty(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_bytes(b"\xef\xbb\xbf2.png\r\n")
    test = TestPhotos(names=str(tmp_path / "test.txt"))
    assert [path.name for path in source(photos, test=test).clip_files("test")[0].sharp] == ["2.png"]
    (tmp_path / "test.txt").write_text(" \n\n")
    with pytest.raises(DeblurzooError, match=r"data\.test\.names=.*test\.txt lists no photos"):
        source(photos, test=test).clip_files("train")
    with pytest.raises(DeblurzooError, match=r"data\.train\.names=.*test\.txt lists no photos"):
        source(photos, train=TrainingPhotos(names=str(tmp_path / "test.txt"))).clip_files("train")


def test_photos_that_differ_in_the_suffix_are_two_photos(photos: Path) -> None:
    (photos / "1.jpg").write_bytes((photos / "1.png").read_bytes())
    assert len(source(photos).samples("train", 1)) == 7


def test_changed_photos_get_new_test_exposures(photos: Path) -> None:
    """The new photo has the name and the size of the old photo."""

    def sharp() -> bytes:
        return Path(str(source(photos).samples("test", 1)[0].sharp)).read_bytes()

    found = []
    image = cv2.imread(str(photos / "6.png"))
    for pixels in (image, 255 - image):
        assert cv2.imwrite(str(photos / "6.bmp"), pixels)  # not compressed: both have the same size
        (photos / "6.bmp").rename(photos / "6.png")
        found.append(sharp())
    assert found[0] != found[1]


def test_damaged_test_exposures_are_named(photos: Path) -> None:
    folder = source(photos)._exposed()
    next(folder.rglob("blur/*.png")).unlink()
    with pytest.raises(DeblurzooError, match=rf"the test exposures in {folder} are damaged .*: remove this folder"):
        source(photos).samples("test", 1)


def test_test_photos_without_a_valid_header_are_an_error(photos: Path) -> None:
    (photos / "6.png").write_bytes(b"")
    with pytest.raises(DeblurzooError, match=r"no test photo of data\.root=.* can be read: set data\.test\.names"):
        source(photos).samples("test", 1)


@pytest.mark.parametrize("response", [0, -1, float("nan"), float("inf"), 1e9, "gamma"])
def test_impossible_camera_responses_are_refused(response: Any, photos: Path) -> None:
    with pytest.raises(DeblurzooError, match=r"responses"):
        checked(Photos, {"root": str(photos), "length": [3, 8], "cache": "cache", "responses": [response]}, "data")


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.[pn][np][gy]"))}


def test_test_exposures_stay_and_are_those_of_synthesize(photos: Path, tmp_path: Path) -> None:
    data = source(photos, shorter_side=100, test=TestPhotos(exposures=2))
    samples = {frames: data.samples("test", frames) for frames in (1, 2, 3)}
    assert [[sample.clip for sample in some] for some in samples.values()] == 3 * [["6_1", "6_2"]]
    assert {sample.frame for some in samples.values() for sample in some} == {"000002"}
    (folder,) = (tmp_path / "cache").iterdir()
    written = files(folder)
    assert len(written) == 2 * (3 * 4 + 1)  # three images and the blur lengths of three pairs, and a flow

    arguments = ["--exposures", 2, "--shake", "3-8", "--objects", 2, "--shorter-side", 100, "--test-share", 1]
    synthesize([str(photos / "6.png"), "--out", str(tmp_path / "made"), *map(str, arguments), "--split", "source"])
    assert files(tmp_path / "made") == written

    (folder / "test/6_1/blur/000002.png").touch()
    assert (
        source(photos, shorter_side=100, test=TestPhotos(exposures=2)).samples("test", 2) == samples[2]
    )  # not made again
    source(photos, shorter_side=90, test=TestPhotos(exposures=2)).samples("test", 2)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def list_test_exposures(photos: Path) -> None:
    source(photos, test=TestPhotos(exposures=2)).samples("test", 1)


def test_processes_that_start_together_render_the_test_exposures_once(photos: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=list_test_exposures, args=(photos,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    (folder,) = (tmp_path / "cache").iterdir()
    assert len(files(folder)) == 2 * (3 * 4 + 1)


def test_validation_frames_carry_the_true_flow(photos: Path) -> None:
    data = source(photos, test=TestPhotos(exposures=1))
    sample = data.samples("test", 2)[0]
    batch = FullFrames([sample])[0]
    assert batch.flow is not None and batch.flow.shape == (2, *batch.sharp.shape[1:])
    here, following = (torch.from_numpy(one.read()).permute(2, 0, 1)[None] / 255 for one in sample.sharp_frames)
    aligned, before = ((one - here).abs().mean() for one in (warp(following, batch.flow[None]), following))
    assert aligned < before
    assert FullFrames(data.samples("test", 1))[0].flow is None
    assert sample.flow
    sample.flow.write_bytes(b"damaged")
    with pytest.raises(DeblurzooError, match=r"000002\.npy cannot be read"):
        FullFrames([sample])[0]


def test_a_pack_gives_the_same_samples_and_needs_no_photos(photos: Path, tmp_path: Path) -> None:
    pack(source(photos), tmp_path / "packed")
    assert {file.name for file in (tmp_path / "packed").rglob("*.npy")} == {"photos.sharp.npy"}
    expected = [crops(photos, frames=2)[number] for number in range(4)]
    test = [str(frame) for sample in source(photos).samples("test", 2) for frame in sample.blur]
    (tmp_path / "photos").rename(tmp_path / "away")
    packed = source(photos, root=None, packed=str(tmp_path / "packed"))
    data = TrainingCrops(packed.samples("train", 2), SMALL, seed=0)
    assert [parameters(data[number]) for number in range(4)] == [parameters(batch) for batch in expected]
    assert [str(frame) for sample in packed.samples("test", 2) for frame in sample.blur] == test
    unrendered = source(photos, root=None, packed=str(tmp_path / "packed"), cache=str(tmp_path / "empty"))
    with pytest.raises(DeblurzooError, match=r"data\.root is not set, and the test exposures are not in data\.cache"):
        unrendered.samples("test", 2)


def datamodule(photos: Path, crop: int, **options: Any) -> DeblurDataModule:
    return DeblurDataModule(source(photos, **options), 1, 0, batch_size=2, augmentation=Augmentation(crop=crop))


def test_photos_that_are_too_small_are_named_and_left_out(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = read_image(photos / "1.png")
    cv2.imwrite(str(photos / "0.png"), image[:40, :60])
    with caplog.at_level(logging.WARNING):
        data = datamodule(photos, crop=48).training_crops()
    assert {sample.frame for sample in data.samples} == {f"{number}.png" for number in (1, 2, 3, 4, 6, 7)}
    assert "1 of 7 photos are left out" in caplog.text and "0.png is 60x40, smaller than 62 pixels" in caplog.text
    with pytest.raises(DeblurzooError, match=r"no photo can be used: .* set a smaller datamodule\.augmentation\.crop"):
        datamodule(photos, crop=480).training_crops()


def test_a_truncated_photo_is_named_once_and_replaced(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    cv2.imwrite(str(photos / "3.jpg"), cv2.imread(str(photos / "3.png")))
    (photos / "3.png").unlink()
    jpeg = (photos / "3.jpg").read_bytes()
    (photos / "3.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    data = crops(photos)
    with caplog.at_level(logging.WARNING):
        used = {data[number].frame for number in range(24)}
    assert used == {f"{number}.png" for number in (1, 2, 4, 5, 7)}
    assert caplog.text.count("left out: ") == 1 and "3.jpg cannot be read" in caplog.text
    assert [problem for problem in source(photos).problems() if "3.jpg" in problem]


def test_an_unusable_test_photo_is_named_and_left_out(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(photos / "1.png", photos / "8.png")
    (photos / "6.png").write_bytes((photos / "6.png").read_bytes()[:3000])
    test = photos.parent / "test.txt"
    test.write_text("6.png\n8.png\n")
    with caplog.at_level(logging.WARNING):
        samples = source(photos, test=TestPhotos(str(test), exposures=1)).samples("test", 1)
    assert [sample.clip for sample in samples] == ["8_1"]
    assert "left out: " in caplog.text and "6.png" in caplog.text


def test_a_folder_without_photos_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DeblurzooError, match=r"data\.root=.*photos contains no photos"):
        source(tmp_path / "photos").samples("train", 1)
    with pytest.raises(DeblurzooError, match=r"data\.root=.*nothing is not a folder"):
        source(tmp_path / "nothing").samples("train", 1)


@pytest.mark.parametrize(
    "length", [[1e300, 1e308], [3, 10**300], [8, 3], [-1, 3], [float("nan"), 3], [0, float("inf")]]
)
def test_lengths_that_no_photo_has_are_reported_briefly_with_their_key(length: list[float]) -> None:
    with pytest.raises(DeblurzooError) as error:
        checked(Photos, {"length": length}, "data")
    assert str(error.value).startswith("data.length") and len(str(error.value)) < 200


def test_photos_that_are_too_small_for_all_crops_name_every_remedy(photos: Path) -> None:
    with pytest.raises(DeblurzooError, match=r"data\.shorter_side, or larger photos$"):
        datamodule(photos, crop=64, shorter_side=20).training_crops()


def test_a_cache_that_cannot_be_written_is_reported_with_its_key(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeblurzooError, match=r"data\.cache=.*file/cache cannot be written \(.*file is not a folder\)"):
        source(photos, cache=str(tmp_path / "file" / "cache")).samples("test", 1)


def test_a_pack_leaves_out_photos_that_cannot_be_read(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, cut in (("2.png", 3000), ("5.png", 10), ("6.png", 3000)):  # 6.png is the only test photo
        (photos / name).write_bytes((photos / name).read_bytes()[:cut])
    shutil.copy(photos / "1.png", photos / "8.png")
    test = tmp_path / "test.txt"
    test.write_text("6.png\n8.png\n")
    names = TestPhotos(str(test), exposures=1)
    with caplog.at_level(logging.WARNING):
        pack(source(photos, test=names), tmp_path / "pack")
    assert [name in caplog.text for name in ("left out: ", "2.png", "5.png", "6.png", "1.png")] == [True] * 4 + [False]
    packed = source(photos, test=names, packed=str(tmp_path / "pack"))
    assert next(packed.index.of("train")).frames == ["1.png", "3.png", "4.png", "7.png"]
    shutil.copy(photos / "1.png", photos / "9.png")
    with pytest.raises(DeblurzooError, match=r"is stale: clip photos differs from the pack in sharp/9\.png"):
        source(photos, test=names, packed=str(tmp_path / "pack")).samples("train", 1)


def test_a_pack_that_leaves_out_photos_trains_and_measures_as_their_folder_does(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, cut in (("2.png", 3000), ("5.png", 10), ("12.png", 3000)):  # the header of 2.png and 12.png is whole
        shutil.copy(photos / "1.png", photos / f"{int(name[:-4]) + 7}.png")
        (photos / name).write_bytes((photos / "1.png").read_bytes()[:cut])
    (photos / "4.png").unlink()
    (photos / "4.png").symlink_to("nothing.png")
    test = tmp_path / "test.txt"
    test.write_text("6.png\n12.png\n")
    names = TestPhotos(str(test), exposures=1)
    pack(source(photos, test=names), tmp_path / "pack")
    files = source(photos, test=names)
    packed = source(photos, test=names, packed=str(tmp_path / "pack"))
    alone = source(photos, root=None, test=names, packed=str(tmp_path / "pack"))
    for split in ("train", "test"):
        marks = {fingerprint(one.samples(split, 1)) for one in (files, packed, alone)}
        assert len(marks) == 1, split
    assert len(list((tmp_path / "cache").glob("[!.]*"))) == 1, "the test exposures are rendered once"
    crops = [DeblurDataModule(one, 1, 0, 2, SMALL).training_crops() for one in (files, packed)]
    for number in range(12):
        a, b = (crop[number] for crop in crops)
        assert a.frame == b.frame and torch.equal(a.unrendered.photo, b.unrendered.photo)


def test_a_pack_of_photos_that_are_all_unreadable_is_an_error(photos: Path, tmp_path: Path) -> None:
    for photo in photos.iterdir():
        photo.write_bytes(photo.read_bytes()[:100])
    with pytest.raises(DeblurzooError, match=r"no photo of data\.root=.* can be read: give other photos"):
        pack(source(photos), tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_an_unreadable_photo_does_not_end_the_training_that_replaces_it(photos: Path) -> None:
    (photos / "1.png").write_bytes((photos / "1.png").read_bytes()[:3000])
    assert datamodule(photos, crop=32).training_crops()
    assert fingerprint(source(photos).samples("train", 1))
