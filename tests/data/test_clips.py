import contextlib
import logging
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from deblurzoo.config import build
from deblurzoo.data import Dvd, Folder, Gopro, Joined, Toy
from deblurzoo.data.clips import ClipSource
from deblurzoo.errors import DeblurzooError


def touch(folder: Path, numbers: "range | list[int]", suffix: str = ".png", digits: int = 6) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number:0{digits}d}{suffix}").touch()


@pytest.fixture
def gopro(tmp_path: Path) -> Gopro:
    """Clip A with frames 5 to 8, and clip B with frames 1, 2, 4 and 5 (3 is missing)."""
    for kind in ("blur", "sharp"):
        touch(tmp_path / "train" / "A" / kind, range(5, 9))
        touch(tmp_path / "train" / "B" / kind, [1, 2, 4, 5])
    return Gopro(str(tmp_path), "blur")


def ids(source: ClipSource, split: str, frames: int) -> list[tuple[str, int]]:
    return [(sample.clip, int(sample.frame)) for sample in source.samples(split, frames)]


def test_one_frame_networks_restore_every_frame(gopro: Gopro) -> None:
    assert ids(gopro, "train", 1) == [("A", n) for n in (5, 6, 7, 8)] + [("B", n) for n in (1, 2, 4, 5)]


def test_neighbours_are_next_then_previous_and_never_across_a_gap(gopro: Gopro) -> None:
    assert ids(gopro, "train", 2) == [("A", 5), ("A", 6), ("A", 7), ("B", 1), ("B", 4)]
    assert ids(gopro, "train", 3) == [("A", 6), ("A", 7)]
    sample = gopro.samples("train", 3)[0]
    assert [Path(str(frame)).stem for frame in sample.blur] == ["000006", "000007", "000005"]
    assert Path(str(sample.sharp)).parts[-2:] == ("sharp", "000006.png")


def test_common_frames_restrict_every_network_to_the_same(gopro: Gopro, caplog: pytest.LogCaptureFixture) -> None:
    common = Gopro(str(gopro.root), "blur", common_frames=2)
    assert ids(common, "train", 1) == ids(common, "train", 2) == ids(gopro, "train", 2)
    assert all(len(sample.blur) == 1 for sample in common.samples("train", 1))
    assert ids(common, "train", 3) == ids(gopro, "train", 3)
    with caplog.at_level(logging.INFO):
        common.samples("train", 1)
    assert "3 of 8 train frames are excluded: 2 consecutive frames are required" in caplog.text
    with pytest.raises(DeblurzooError, match="common_frames=4 must be 1, 2, 3 or null"):
        Gopro(str(gopro.root), "blur", common_frames=4)


def test_official_counts() -> None:
    assert {split: (len(c), sum(c.values())) for split, c in Gopro.official.items()} == {
        "train": (22, 2103),
        "test": (11, 1111),
    }
    assert {split: (len(c), sum(c.values())) for split, c in Dvd.official.items()} == {
        "train": (61, 5708),
        "test": (10, 1000),
    }
    assert not Toy.official


def test_blur_folder_is_the_one_asked_for(tmp_path: Path) -> None:
    for kind in ("blur_gamma", "sharp"):
        touch(tmp_path / "test" / "A" / kind, range(2))
    assert Gopro(str(tmp_path), "blur_gamma").samples("test", 1)[0].blur[0].path.parent.name == "blur_gamma"  # type: ignore[attr-defined]
    with pytest.raises(DeblurzooError, match=r"data\.blur=linear.*choose blur or blur_gamma"):
        Gopro(str(tmp_path), "linear")


@pytest.fixture
def dvd_root(tmp_path: Path) -> Path:
    for video in ("IMG_0003", "IMG_0001"):
        for kind in ("input", "GT"):
            touch(tmp_path / "quantitative_datasets" / video / kind, range(100), ".jpg", 5)
    return tmp_path


@pytest.mark.parametrize(
    ("protocol", "one_frame", "two_frames"), [("flow", 99, 99), ("su30", 30, 30), ("all", 100, 99)]
)
def test_dvd_protocols(dvd_root: Path, protocol: str, one_frame: int, two_frames: int) -> None:
    source = Dvd(str(dvd_root), protocol)
    assert len(source.samples("test", 1)) == one_frame
    assert len(source.samples("test", 2)) == two_frames
    assert {sample.clip for sample in source.samples("test", 1)} == {"IMG_0003"}
    assert len(source.samples("train", 1)) == 100


def test_su30_frames_are_the_published_ones(dvd_root: Path) -> None:
    frames = [int(sample.frame) for sample in Dvd(str(dvd_root), "su30").samples("test", 1)]
    assert frames == [2, 5, 8, 11, 15, 18, 21, 24, 28, 31, 34, 38, 41, 44, 47, 51, 54, 57, 60, 64, 67, 70, 74, 77,
                      80, 83, 87, 90, 93, 97]  # fmt: skip


def test_unpaired_frame_is_named(gopro: Gopro) -> None:
    (gopro.root / "train" / "A" / "sharp" / "000007.png").unlink()
    with pytest.raises(DeblurzooError, match=r"A/blur/000007\.png has no sharp counterpart \(1 unpaired in clip A\)"):
        gopro.samples("train", 1)


def test_missing_root_split_and_frames_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DeblurzooError, match=r"data\.root=.*nowhere is not a folder"):
        Gopro(str(tmp_path / "nowhere"), "blur").samples("train", 1)
    with pytest.raises(DeblurzooError, match=r"NNNNNN\.png, written by `deblurzoo data toy --out FOLDER`$"):
        Toy(str(tmp_path / "nowhere"), "blur").samples("train", 1)
    with pytest.raises(DeblurzooError, match="has no folder train"):
        Gopro(str(tmp_path), "blur").samples("train", 1)
    (tmp_path / "train").mkdir()
    with pytest.raises(DeblurzooError, match="train split of gopro has no frames"):
        Gopro(str(tmp_path), "blur").samples("train", 1)
    for kind in ("blur", "sharp"):
        touch(tmp_path / "train" / "A" / kind, [1, 3, 9])
    with pytest.raises(DeblurzooError, match="no clip of the train split of gopro has 2 consecutive frames"):
        Gopro(str(tmp_path), "blur").samples("train", 2)


def test_folder_pairs_equal_names_of_any_suffix(tmp_path: Path) -> None:
    touch(tmp_path / "in", range(3), ".jpg")
    touch(tmp_path / "out", range(3), ".png")
    nothing = {"blur": None, "sharp": None}
    source = Folder(train=nothing, test={"blur": str(tmp_path / "in"), "sharp": str(tmp_path / "out")})
    assert len(source.samples("test", 1)) == 3
    assert source.splits == ("test",)
    with pytest.raises(DeblurzooError, match=r"data\.train\.blur is not set"):
        source.samples("train", 1)


def test_two_data_sets_together(gopro: Gopro, tmp_path: Path) -> None:
    for kind in ("input", "GT"):
        touch(tmp_path / "dvd" / "quantitative_datasets" / "IMG_0001" / kind, range(3), ".jpg", 5)
    both = Joined(gopro=gopro, dvd=Dvd(str(tmp_path / "dvd"), "flow"))
    names = [sample.clip for sample in both.samples("train", 2)]
    assert names == ["gopro_A"] * 3 + ["gopro_B"] * 2 + ["dvd_IMG_0001"] * 2
    assert {sample.dataset for sample in both.samples("train", 1)} == {"gopro", "dvd"}
    assert (both.name, both.protocol, both.blur_folder) == ("gopro_dvd", "gopro+flow", "blur+input")
    assert len(both.official["train"]) == 22 + 61


def write(folder: Path, *names: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return str(folder)


NOTHING: dict[str, str | None] = {"blur": None, "sharp": None}


def pair(root: Path, *names: str) -> dict[str, str | None]:
    return {kind: write(root / kind, *names) for kind in ("blur", "sharp")}


@pytest.mark.parametrize("pattern", ["{}", "frame{}", "shot7 ({})"])
def test_neighbours_are_those_of_the_numbers_in_names(pattern: str, tmp_path: Path) -> None:
    names = [pattern.format(number) for number in range(1, 13)]
    source = Folder(NOTHING, pair(tmp_path, *(f"{name}.png" for name in names)))
    assert [sample.frame for sample in source.samples("test", 1)] == names
    around = [[Path(str(frame)).stem for frame in sample.blur] for sample in source.samples("test", 2)]
    assert around == [list(two) for two in pairwise(names)]


def test_clips_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for clip in ("clip1", "clip10", "clip2", ".Trash-0", "@eaDir", "__MACOSX"):
        pair(tmp_path / "test" / clip, "1.png")
    assert [clip.name for clip in Toy(str(tmp_path), "blur").clips("test")] == ["clip1", "clip2", "clip10"]


def test_a_gap_is_told_once_for_each_clip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pair(tmp_path / "test" / "A", "0001.png", "0002.png", "0003.png", "0006.png")
    pair(tmp_path / "test" / "B", "1.png", "2.png", "4.png", "5.png", "9.png", "10.png")
    source = Toy(str(tmp_path), "blur")
    source.samples("test", 1)
    assert not caplog.text, "a network of one frame reads no neighbours"
    assert ids(source, "test", 2) == [("A", 1), ("A", 2), ("B", 1), ("B", 4), ("B", 9)]
    assert ids(source, "test", 3) == [("A", 2)]
    told = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert told == [
        "clip A of toy lacks frames 0004 to 0005: frames across a gap are not used as neighbours",
        "clip B of toy lacks frame 3 (and 1 more gap): frames across a gap are not used as neighbours",
    ]


def test_time_stamps_have_no_gaps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stamps = [1403636579763555584 + 50_000_000 * number + 3_000_000 * (number % 3) for number in range(6)]
    source = Folder(NOTHING, pair(tmp_path, *(f"{stamp}.png" for stamp in stamps)))
    assert len(source.samples("test", 3)) == 4 and not caplog.records


def test_what_systems_leave_beside_pictures_is_none(tmp_path: Path) -> None:
    junk = ("._1.png", "~$2.png", ".hidden.PNG", "Thumbs.db", "desktop.ini")
    source = Folder(NOTHING, pair(tmp_path, "1.PNG", "2.png", *junk))
    for kind in ("blur", "sharp"):
        write(tmp_path / kind / "@eaDir", "1.png")
        write(tmp_path / kind / "__MACOSX", "._2.png")
    assert [sample.frame for sample in source.samples("test", 1)] == ["1", "2"]


@pytest.mark.parametrize(("kind", "name"), [("blur", "2.jpg"), ("sharp", "2.PNG")])
def test_two_files_of_one_frame_are_ambiguous(kind: str, name: str, tmp_path: Path) -> None:
    source = Folder(NOTHING, pair(tmp_path, "1.png", "2.png"))
    write(tmp_path / kind, name)
    with pytest.raises(DeblurzooError, match=rf"{kind}/2\.\w+ and .*{kind}/2\.\w+ are both frame 2: remove one"):
        source.samples("test", 1)


def test_pictures_that_are_not_consecutive_have_no_neighbours(tmp_path: Path) -> None:
    pictures = pair(tmp_path, "1.png", "2.png", "9.png")
    assert len(Folder(NOTHING, pictures, consecutive=False).samples("test", 1)) == 3
    with pytest.raises(DeblurzooError, match="the images of folder are not consecutive, but this network reads 2"):
        Folder(NOTHING, pictures, consecutive=False).samples("test", 2)
    with pytest.raises(DeblurzooError, match=r"data\.common_frames=2 requires consecutive frames.*=null"):
        Folder(NOTHING, pictures, common_frames=2, consecutive=False).samples("test", 1)


def test_folders_may_be_called_by_numbers(toy: Path, tmp_path: Path) -> None:
    shutil.copytree(toy, tmp_path / "2023")
    with contextlib.chdir(tmp_path):
        source = build({"_target_": "deblurzoo.data.Toy", "root": 2023, "blur": "blur"}, Toy, "data")
        assert source.root == Path("2023") and source.clips("test")
    with pytest.raises(DeblurzooError, match=r"data\.root=true is invalid for Toy"):
        build({"_target_": "deblurzoo.data.Toy", "root": True, "blur": "blur"}, Toy, "data")


def test_names_that_are_too_long_for_results_are_reported_before_the_work(gopro: Gopro, tmp_path: Path) -> None:
    (tmp_path / "train" / "A").rename(tmp_path / "train" / (234 * "a"))  # with a frame of 6 bytes
    assert len(gopro.samples("train", 1)) == 8
    (tmp_path / "train" / (234 * "a")).rename(tmp_path / "train" / (118 * "ä"))
    with pytest.raises(DeblurzooError, match=r"000005\.png: the names of the clip and the frame have more than 240 by"):
        gopro.samples("train", 1)
