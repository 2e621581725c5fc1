"""Packs: the pixels and order of their images, stale and damaged packs, packs of version 0.1."""

import hashlib
import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from conftest import Run
from data.packs import CLIP, content
from deblurzoo.batch import Batch
from deblurzoo.data import Dvd, Folder, Gopro, Joined, Source, Toy
from deblurzoo.data.batches import BatchLoader, Collation
from deblurzoo.data.checking import check
from deblurzoo.data.clips import Sample
from deblurzoo.data.datamodule import DeblurDataModule, FullFrames, TrainingCrops
from deblurzoo.data.degrade import degraded
from deblurzoo.data.fingerprint import fingerprint
from deblurzoo.data.frames import PackedFrame
from deblurzoo.data.packing import pack
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import write_png
from deblurzoo.synthesis.extra_blur import ExtraBlur

NOTHING: dict[str, str | None] = {"blur": None, "sharp": None}
RECIPES = {
    "srn": Augmentation(crop=32),
    "svrnn": Augmentation(crop=16, zoom=(0.5, 1.0), rot90=True, permute_channels=True),
    "svrnn_gopro_dvd": Augmentation(
        crop=16, zoom=(0.7, 1.0), rot90=True, flip=True, extra_blur=ExtraBlur(datasets=("toy",), max_length=6)
    ),
}


@pytest.fixture(scope="session")
def packed(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of the toy data set; treat as read-only."""
    out = tmp_path_factory.mktemp("packed") / "toy"
    pack(Toy(str(toy), "blur"), out)
    return out


@pytest.fixture
def toy_copy(toy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy, tmp_path / "toy"))


@pytest.fixture
def packed_copy(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "packed"))


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("recipe", RECIPES)
def test_samples_are_those_of_the_pictures_to_the_bit(toy: Path, packed: Path, recipe: str, frames: int) -> None:
    pictures, arrays = (
        TrainingCrops(source.samples("train", frames), RECIPES[recipe], seed=3)
        for source in (Toy(str(toy), "blur"), Toy(None, "blur", packed=str(packed)))
    )
    assert all(isinstance(frame, PackedFrame) for sample in arrays.samples for frame in (*sample.blur, sample.sharp))
    for number in range(20):
        a, b = pictures[number], arrays[number]
        assert a.clip == b.clip and a.frame == b.frame
        assert all(torch.equal(one, other) for one, other in zip(images(a), images(b), strict=True))


def images(sample: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images of a training sample after all degradation."""
    batch = Collation()([sample])
    ready = degraded(batch._replace(blur=batch.blur / 255, sharp=batch.sharp / 255))
    return ready.blur, ready.sharp


def test_whole_frames_are_those_of_the_pictures(toy: Path, packed: Path) -> None:
    pictures, arrays = (
        FullFrames(source.samples("test", 2)) for source in (Toy(str(toy), "blur"), Toy(None, "blur", packed=packed))
    )
    assert len(pictures) == len(arrays) == 2
    for a, b in zip(pictures, arrays, strict=True):
        assert torch.equal(a.blur, b.blur) and torch.equal(a.sharp, b.sharp) and a[2:] == b[2:]


def test_a_frame_is_a_read_only_view_of_the_map(packed: Path) -> None:
    frame = Toy(None, "blur", packed=str(packed)).samples("train", 1)[0].blur[0].read()
    assert isinstance(frame.base, np.ndarray) and not frame.flags.owndata and not frame.flags.writeable


def test_the_pixels_are_the_files_of_now(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, blur in (("one", "blur"), ("other", "blur_gamma")):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        pack(Toy(str(toy), blur), Path("pack"))
        (clip, *_) = Toy(str(toy), blur, packed="pack").clips("train")
        (real, *_) = Toy(str(toy), blur).clips("train")
        assert np.array_equal(clip.blur[1].read(), real.blur[1].read())
    (tmp_path / "one" / clip.blur[0].file).replace(clip.blur[0].file)
    (real, *_) = Toy(str(toy), "blur").clips("train")
    assert np.array_equal(clip.blur[1].read(), real.blur[1].read())


def test_workers_read_the_pack(packed: Path) -> None:
    samples = Toy(None, "blur", packed=str(packed)).samples("test", 1)
    here = [batch.sharp for batch in FullFrames(samples)]  # files are memory-mapped before the workers start
    data = FullFrames(pickle.loads(pickle.dumps(samples)))
    there = [batch.sharp[0] for batch in BatchLoader(data, 1, batch_size=1)]
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_of_a_packed_frame_only_the_crop_is_read(tmp_path: Path) -> None:
    shape = (1, 12_000, 12_000, 3)
    with (tmp_path / "large.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape)))
    frame = PackedFrame(tmp_path / "large.npy", 0, *shape[1:3], "000001.png", 1)
    crops = TrainingCrops([Sample("toy", "large", "000001", (frame,), (frame,))], RECIPES["svrnn"], seed=0)
    before = resident_bytes()
    for number in range(10):
        crops[number]
    assert resident_bytes() - before < 50e6 < np.prod(shape)


def test_packing_again_changes_nothing(toy: Path, packed_copy: Path) -> None:
    before = content(packed_copy)
    inodes = {file: file.stat().st_ino for file in packed_copy.rglob("*.npy")}
    pack(Toy(str(toy), "blur"), packed_copy)
    assert content(packed_copy) == before
    assert {file: file.stat().st_ino for file in packed_copy.rglob("*.npy")} == inodes


def test_packing_again_mends_what_is_damaged_or_stale(toy_copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    pack(Toy(str(toy_copy), "blur"), out)
    os.truncate(out / f"{CLIP}.blur.npy", 500)
    cv2.imwrite(str(toy_copy / "test" / "TOY_test_000" / "sharp" / "000001.png"), np.zeros((48, 64, 3), np.uint8))
    source = Toy(str(toy_copy), "blur", packed=str(out))
    with pytest.raises(DeblurzooError, match=r"TOY_train_000\.blur\.npy is missing or truncated.*data pack` again"):
        source.samples("train", 1)
    with pytest.raises(
        DeblurzooError, match=r"stale: clip TOY_test_000 differs from the pack in sharp/000001\.png.*root=null"
    ):
        source.samples("test", 1)
    pack(Toy(str(toy_copy), "blur"), out)
    again = Toy(str(toy_copy), "blur", packed=str(out))
    assert len(again.samples("train", 1)) == 6
    assert not again.samples("test", 1)[0].sharp.read().any()


def test_a_clip_without_frames_is_left_out(toy_copy: Path, tmp_path: Path) -> None:
    for kind in ("blur", "sharp"):
        (toy_copy / "train" / "EMPTY" / kind).mkdir(parents=True)
    pack(Toy(str(toy_copy), "blur"), tmp_path / "packed")
    assert len(Toy(str(toy_copy), "blur", packed=str(tmp_path / "packed")).samples("train", 1)) == 6


def test_a_frame_more_or_a_clip_less_is_stale(toy_copy: Path, packed: Path) -> None:
    source = Toy(str(toy_copy), "blur", packed=str(packed))
    shutil.rmtree(toy_copy / CLIP)
    with pytest.raises(DeblurzooError, match="clip TOY_train_000 exists only in the pack"):
        source.samples("train", 1)
    for kind in ("blur", "sharp"):
        shutil.copy(
            toy_copy / "test" / "TOY_test_000" / kind / "000001.png", toy_copy / "test/TOY_test_000" / kind / "9.png"
        )
    with pytest.raises(DeblurzooError, match=r"clip TOY_test_000 differs from the pack in blur/9\.png"):
        source.samples("test", 1)


def test_the_pack_of_something_else_is_refused(toy: Path, packed: Path, tmp_path: Path) -> None:
    for other, name in (
        (Toy(str(toy), "blur_gamma", packed=packed), "toy blur_gamma/"),
        (
            Gopro(None, "blur", packed=packed),
            "gopro blur/",
        ),
    ):
        with pytest.raises(DeblurzooError, match=f"is a pack of toy blur/, not of {name}"):
            other.samples("train", 1)
    with pytest.raises(DeblurzooError, match=r"has no index\.json: set data\.packed to a folder made by"):
        Toy(str(toy), "blur", packed=str(tmp_path)).samples("train", 1)
    with pytest.raises(DeblurzooError, match="is a pack of toy blur/, not of toy blur_gamma/"):
        pack(Toy(str(toy), "blur_gamma"), packed)
    with pytest.raises(DeblurzooError, match="exists and is not a pack"):
        pack(Toy(str(toy), "blur"), toy)
    with pytest.raises(DeblurzooError, match=r"data\.root is not set"):
        Toy(None, "blur").samples("train", 1)


def test_a_pair_of_two_sizes_leaves_nothing_behind(toy_copy: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(toy_copy / CLIP / "sharp" / "000002.png"), np.zeros((40, 64, 3), np.uint8))
    with pytest.raises(
        DeblurzooError, match=r"sharp/000002\.png is 64x40 but .*blur/000002\.png is 64x48.*fix or remove"
    ):
        pack(Toy(str(toy_copy), "blur"), tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def folder_pair(root: Path, sizes: dict[str, tuple[int, int]]) -> dict[str, str | None]:
    """Write images of random noise with the given names and sizes to two folders."""
    rng = np.random.default_rng(0)
    for kind in ("blur", "sharp"):
        for name, size in sizes.items():
            write_png(root / kind / name, rng.integers(0, 256, (*size, 3), np.uint8))
    return {kind: str(root / kind) for kind in ("blur", "sharp")}


@pytest.mark.parametrize("consecutive", [True, False])
def test_pictures_of_several_sizes_are_packed(consecutive: bool, tmp_path: Path) -> None:
    sizes = {"1.png": (20, 30), "2.png": (24, 18), "10.png": (20, 30)}
    place = folder_pair(tmp_path, sizes)
    pictures = Folder(NOTHING, place, consecutive=consecutive)
    pack(pictures, tmp_path / "packed")
    packed = Folder(NOTHING, NOTHING, packed=str(tmp_path / "packed"))
    assert packed.consecutive == consecutive
    a, b = (FullFrames(source.samples("test", 1)) for source in (pictures, packed))
    assert [sample.frame for sample in b.samples] == ["1", "2", "10"]
    assert [sample.sharp.size() for sample in b.samples] == [(30, 20), (18, 24), (30, 20)]
    for number in range(3):
        assert torch.equal(a[number].blur, b[number].blur) and torch.equal(a[number].sharp, b[number].sharp)
    assert fingerprint(a.samples) == fingerprint(b.samples)
    os.utime(tmp_path / "sharp" / "2.png")
    stale = Folder(NOTHING, place, packed=str(tmp_path / "packed"), consecutive=consecutive)
    with pytest.raises(DeblurzooError, match=r"differs from the pack in sharp/2\.png"):
        stale.samples("test", 1)


def test_a_pack_of_single_pictures_gives_no_neighbours(tmp_path: Path) -> None:
    place = folder_pair(tmp_path, {"1.png": (8, 8), "2.png": (8, 8)})
    pack(Folder(NOTHING, place, consecutive=False), tmp_path / "packed")
    with pytest.raises(DeblurzooError, match=r"are not consecutive: set data\.consecutive=false"):
        Folder(NOTHING, place, packed=str(tmp_path / "packed")).samples("test", 1)
    with pytest.raises(DeblurzooError, match="not consecutive, but this network reads 2 frames"):
        Folder(NOTHING, NOTHING, packed=str(tmp_path / "packed")).samples("test", 2)


def as_format_1(packed: Path) -> None:
    """Convert a pack to the format of deblurzoo 0.1: one size per clip, clips and frames in lexicographic order."""
    index = json.loads((packed / "index.json").read_text())
    del index["consecutive"]
    index["format"] = 1
    for clip in index["clips"]:
        ((clip["width"], clip["height"]),) = {tuple(size) for size in clip.pop("sizes")}
        names = clip.pop("frames")
        order = sorted(range(len(names)), key=lambda number: names[number])
        clip["stems"] = [names[number] for number in order]
        for kind in ("blur", "sharp"):
            clip["sources"][kind] = [clip["sources"][kind][number] for number in order]
            file = packed / clip["split"] / f"{clip['name']}.{kind}.npy"
            pixels = np.load(file)[order]
            np.save(file, pixels)
            clip["sha256"][kind] = hashlib.sha256(pixels.tobytes()).hexdigest()
    index["clips"].sort(key=lambda clip: clip["name"])
    (packed / "index.json").write_text(json.dumps(index))


def test_packs_of_version_0_1_are_read_in_natural_order(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(1, 13)]
    for clip in ("clip1", "clip2", "clip10"):
        folder_pair(tmp_path / "toy" / "test" / clip, dict.fromkeys(names, (8, 12)))
    (tmp_path / "toy" / "train").mkdir()
    pack(Toy(str(tmp_path / "toy"), "blur"), tmp_path / "packed")
    as_format_1(tmp_path / "packed")
    pictures, alone, beside = (
        source.samples("test", 2)
        for source in (
            Toy(str(tmp_path / "toy"), "blur"),
            Toy(None, "blur", packed=str(tmp_path / "packed")),
            Toy(str(tmp_path / "toy"), "blur", packed=str(tmp_path / "packed")),  # with unchanged images
        )
    )
    assert [(sample.clip, sample.frame) for sample in alone] == [(sample.clip, sample.frame) for sample in pictures]
    assert fingerprint(alone) == fingerprint(beside) == fingerprint(pictures)
    for a, b in zip(FullFrames(pictures), FullFrames(alone), strict=True):
        assert torch.equal(a.blur, b.blur) and torch.equal(a.sharp, b.sharp)
    assert check(Toy(None, "blur", packed=str(tmp_path / "packed"))) == ["empty: the train split has no pairs"]


def test_a_pack_of_version_0_1_is_kept_by_packing_again(toy: Path, packed_copy: Path) -> None:
    before, inodes = content(packed_copy), {file: file.stat().st_ino for file in packed_copy.rglob("*.npy")}
    as_format_1(packed_copy)
    pack(Toy(str(toy), "blur"), packed_copy)
    assert content(packed_copy) == before
    assert {file: file.stat().st_ino for file in packed_copy.rglob("*.npy")} == inodes


def test_every_data_set_can_be_packed(toy: Path, dvd: Path, tmp_path: Path) -> None:
    clip = toy / "test" / "TOY_test_000"
    folder = {"blur": str(clip / "blur"), "sharp": str(clip / "sharp")}
    both = Joined(gopro=Gopro(str(toy), "blur"), dvd=Dvd(str(dvd), "all"))
    for part in (Gopro(str(toy), "blur"), Dvd(str(dvd), "all")):
        pack(part, tmp_path / "both" / part.name)
    pack(Folder(train=NOTHING, test=folder), tmp_path / "folder")
    pairs: list[tuple[Source, Source]] = [
        (both, Joined(gopro=Gopro(None, "blur"), dvd=Dvd(None, "all"), packed=str(tmp_path / "both"))),
        (Dvd(str(dvd), "flow"), Dvd(None, "flow", packed=str(tmp_path / "both" / "dvd"))),
        (Folder(NOTHING, folder), Folder(NOTHING, NOTHING, packed=str(tmp_path / "folder"))),
    ]
    for pictures, packed in pairs:
        a, b = (FullFrames(source.samples("test", 1)) for source in (pictures, packed))
        assert (pictures.splits, pictures.blur_folder) == (packed.splits, packed.blur_folder)
        assert [(s.dataset, s.clip, s.frame) for s in a.samples] == [(s.dataset, s.clip, s.frame) for s in b.samples]
        assert torch.equal(a[0].blur, b[0].blur) and torch.equal(a[0].sharp, b[0].sharp)


def test_gopro_is_packed_without_a_word_on_blur(deblurzoo: Run, toy: Path) -> None:
    done = deblurzoo("data", "pack", "data=gopro", f"data.root={toy}", "out=pack")
    assert done.returncode == 0, done.stderr
    assert "using the blurry frames of blur/" in done.stdout and "to read the pack, set data.packed=pack" in done.stdout


def test_training_finds_a_truncated_pack_before_it_starts(packed_copy: Path) -> None:
    file = packed_copy / f"{CLIP}.sharp.npy"
    data = DeblurDataModule(
        Toy(None, "blur", packed=str(packed_copy)), 1, 0, batch_size=2, augmentation=Augmentation(crop=16)
    )
    for size in (file.stat().st_size - 1, 100, 0):
        os.truncate(file, size)
        with pytest.raises(DeblurzooError, match=r"TOY_train_000\.sharp\.npy is missing or truncated"):
            data.setup("fit")


def test_check_reads_the_pack(deblurzoo: Run, toy_copy: Path, tmp_path: Path) -> None:
    done = deblurzoo("data", "pack", "data=toy", f"data.root={toy_copy}", "out=packed")
    assert done.returncode == 0, done.stderr
    check = ("data", "check", "data=toy", "data.packed=packed")
    whole = deblurzoo(*check, "data.root=null")
    assert whole.returncode == 0 and "no problems" in whole.stdout, whole.stderr
    corrupted = tmp_path / "packed" / f"{CLIP}.blur.npy"
    pixels = bytearray(corrupted.read_bytes())
    pixels[5000] ^= 1
    corrupted.write_bytes(pixels)
    truncated = tmp_path / "packed" / "test" / "TOY_test_000.sharp.npy"
    os.truncate(truncated, 1000)
    os.utime(toy_copy / "train" / "TOY_train_001" / "sharp" / "000002.png")
    done = deblurzoo(*check, f"data.root={toy_copy}")
    assert done.returncode == 1
    assert "TOY_train_000.blur.npy is corrupt" in done.stderr
    assert "TOY_test_000.sharp.npy is missing or truncated" in done.stderr
    assert "stale: clip TOY_train_001 differs from the pack in sharp/000002.png" in done.stderr
    assert done.stderr.count("run `deblurzoo data pack` again") == 3
    assert "3 problems in toy" in done.stderr and "Traceback" not in done.stderr
