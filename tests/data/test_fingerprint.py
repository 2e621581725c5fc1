"""Fingerprints identify images regardless of location and packing, and distinguish images of equal file names."""

import shutil
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from conftest import SMALL_TOY, write_kohler
from deblurzoo.data import Dvd, Folder, Kohler, Source, Toy
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.data.fingerprint import describe, fingerprint
from deblurzoo.data.packing import pack
from deblurzoo.data.transforms import Augmentation
from deblurzoo.media.images import write_png
from deblurzoo.synthesis.toy import write_toy

NONE: dict[str, str | None] = {"blur": None, "sharp": None}


def mark(source: Source, split: str = "train") -> str:
    return fingerprint(source.samples(split, 1))


def test_moved_and_packed_pictures_are_the_same(toy: Path, dvd: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(toy, tmp_path / "moved")
    pack(Toy(str(toy), "blur"), tmp_path / "pack")
    same = [Toy(str(toy), "blur"), Toy(str(moved), "blur"), Toy(None, "blur", packed=str(tmp_path / "pack"))]
    assert len({mark(source) for source in same}) == 1
    assert len({mark(source, "test") for source in same}) == 1
    assert mark(same[0]) != mark(same[0], "test")
    pack(Dvd(str(dvd), "all"), tmp_path / "jpegs")
    assert mark(Dvd(str(dvd), "all")) == mark(Dvd(None, "all", packed=str(tmp_path / "jpegs")))


def test_archived_and_unpacked_pictures_are_the_same(tmp_path: Path) -> None:
    write_kohler(tmp_path / "zips", height=24, width=32)
    for archive in (tmp_path / "zips").glob("*.zip"):
        with ZipFile(archive) as file:
            file.extractall(tmp_path / "pictures")
    zipped, unpacked = (mark(Kohler(str(tmp_path / name), verify=False), "test") for name in ("zips", "pictures"))
    assert zipped == unpacked


def test_other_pictures_of_equal_names_are_told_apart(toy: Path, tmp_path: Path) -> None:
    write_toy(tmp_path / "seed", replace(SMALL_TOY, seed=1))
    assert mark(Toy(str(toy), "blur")) != mark(Toy(str(tmp_path / "seed"), "blur"))
    marks = set()
    for value in (10, 20):
        place = {kind: str(tmp_path / str(value) / kind) for kind in ("blur", "sharp")}
        for folder in place.values():
            write_png(Path(folder) / "a.png", np.full((16, 16, 3), value, np.uint8))
        marks.add(mark(Folder(train={**place}, test=NONE)))
    sizes = {(tmp_path / name / "blur" / "a.png").stat().st_size for name in ("10", "20")}
    assert len(sizes) == 1 and len(marks) == 2, "the fingerprint depends on pixels"


def test_a_description_says_where_pictures_lie(toy: Path, tmp_path: Path) -> None:
    source = Toy(str(toy), "blur")
    described = describe(source, "test", source.samples("test", 1))
    assert (described["name"], described["place"]) == ("toy", f"data.root={toy}")
    clip = min((toy / "test").iterdir())
    folders = Folder(train=NONE, test={kind: str(clip / kind) for kind in ("blur", "sharp")})
    described = describe(folders, "test", folders.samples("test", 1))
    place = f"data.test.blur={clip}/blur data.test.sharp={clip}/sharp"
    assert (described["name"], described["place"]) == (clip.name, place)


def test_networks_of_several_frames_are_measured_on_the_same_images(toy: Path) -> None:
    marks = []
    for frames in (1, 2):
        data = DeblurDataModule(
            Toy(str(toy), "blur", common_frames=2), frames, 0, batch_size=1, augmentation=Augmentation(crop=16)
        )
        data.setup("test")
        marks.append(data.measured_on)
    assert marks[0] == marks[1]
