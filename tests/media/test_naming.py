"""File names: image files, natural order, and consecutive frames."""

import os
import tracemalloc
from pathlib import Path

import pytest

from deblurzoo.data import Dvd, Gopro
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.naming import below, described, folders, gaps, image_files, natural, require_frames, runs

LEFT_BEHIND = (
    *("._000001.png", ".DS_Store", ".hidden.jpg", "~$000001.png", "Thumbs.db", "desktop.ini", "ehthumbs.db"),
    *("__MACOSX/000001.png", "@eaDir/000001.png/SYNOPHOTO_THUMB_XL.jpg", ".AppleDouble/000001.png"),
    *(".Trash-1000/files/000001.png", "$RECYCLE.BIN/a.png", "@EADIR/a.png"),
)
"""Files that macOS, Windows and network drives create next to images."""


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def missing(*frames: str) -> list[str]:
    return [gap.missing for gap in gaps(frames)]


@pytest.mark.parametrize(
    "ordered",
    [
        ["1", "2", "3", "10", "11", "100"],
        ["frame1", "frame2", "frame12"],
        ["frame (1)", "frame (9)", "frame (10)"],
        ["take1_9", "take1_10", "take2_1", "take10_1"],
        ["0009", "10", "0011"],
        ["", "01", "1", "a", "a1", "a1b", "b"],
        ["9" * 30, "1" + "0" * 30],
    ],
)
def test_numbers_in_names_count_by_their_value(ordered: list[str]) -> None:
    assert sorted(set(ordered), key=natural) == ordered


def test_the_order_of_published_clips_is_natural() -> None:
    for official in (*Gopro.official.values(), *Dvd.official.values()):
        assert list(official) == sorted(official, key=natural) == sorted(official)


def test_pictures_and_folders_without_what_systems_leave_behind(tmp_path: Path) -> None:
    touch(
        tmp_path, *LEFT_BEHIND, "10.PNG", "9.Jpg", "8.tiff", "notes.txt", "clip10/1.png", "clip9/2.txt", "x.png/a.png"
    )
    assert [path.name for path in image_files(tmp_path)] == ["8.tiff", "9.Jpg", "10.PNG"]
    assert [path.name for path in folders(tmp_path)] == ["clip9", "clip10", "x.png"]
    found = [str(path.relative_to(tmp_path)) for path in below(tmp_path)]
    assert found == ["8.tiff", "9.Jpg", "10.PNG", "clip9/2.txt", "clip10/1.png", "notes.txt", "x.png/a.png"]
    assert image_files(tmp_path / "nowhere") == folders(tmp_path / "nowhere") == []


def test_a_hidden_folder_that_is_given_is_taken(tmp_path: Path) -> None:
    hidden = touch(tmp_path / ".cache" / "@eaDir", "1.png")
    assert image_files(hidden) == below(hidden) == [hidden / "1.png"]


@pytest.mark.parametrize("names", [("2.png", "2.jpg"), ("2.PNG", "2.png"), ("2.tif", "2.tiff")])
def test_two_files_of_one_frame_are_both_named(names: tuple[str, str], tmp_path: Path) -> None:
    first, second = sorted(names)
    with pytest.raises(DeblurzooError, match=rf"/{first} and .*/{second} are both frame 2: remove one"):
        require_frames(image_files(touch(tmp_path, "1.png", *names)))


@pytest.mark.parametrize(
    "frames",
    [
        [],
        ["5"],
        ["1", "2", "3", "4"],
        ["frame8", "frame9", "frame10"],
        ["blur_3_x2", "blur_4_x2"],
        ["0010", "0020", "0030", "0040"],  # every tenth
        ["1", "3", "5"],
        ["a", "b", "c"],
        ["left1", "right9"],
        ["12-00-01_250", "12-00-02_125"],  # two groups of digits differ
        ["1403636579763555584", "1403636579813555456", "1403636579863555584", "1403636579913555456"],
        ["1305031102175304", "1305031102211214", "1305031102243211", "1305031102275326"],  # jitter of 10 %
    ],
)
def test_frames_without_gaps(frames: list[str]) -> None:
    assert gaps(frames) == []
    assert runs(len(frames), gaps(frames)) == [range(len(frames))]


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (["0001", "0002", "0003", "0006"], ["frames 0004 to 0005"]),
        (["0003", "0006"], ["frames 0004 to 0005"]),
        (["1", "2", "4", "5"], ["frame 3"]),
        (["0017", "2041", "9120"], ["frames 0018 to 2040", "frames 2042 to 9119"]),
        (["IMG_0008_left", "IMG_0009_left", "IMG_0011_left"], ["frame IMG_0010_left"]),
        (["frame8", "frame9", "frame13"], ["frames frame10 to frame12"]),
        (["10", "20", "30", "50", "60"], ["frames between 30 and 50 (the usual step is 10)"]),
        (["1", "2", "03", "3"], ["a distinct number for frame 3 (frame 03 has the same number)"]),
        (["0", "7", "1000"], ["frames 1 to 6", "frames 8 to 999"]),  # no usual step
    ],
)
def test_gaps_are_told_as_ranges(frames: list[str], said: list[str]) -> None:
    assert missing(*frames) == said


def test_gaps_cut_a_clip_into_runs() -> None:
    assert runs(5, gaps(["1", "2", "4", "5", "9"])) == [range(0, 2), range(2, 4), range(4, 5)]
    assert described(gaps(["1", "3", "4", "5"])) == "frame 2"
    assert described(gaps(["1", "2", "4", "5", "9"])) == "frame 3 (and 1 more gap)"


def test_a_gap_of_any_size_takes_no_memory() -> None:
    tracemalloc.start()
    assert missing("0", "1", "2", str(10**18)) == [f"frames 3 to {10**18 - 1}"]
    assert tracemalloc.get_traced_memory()[1] < 1e5
    tracemalloc.stop()


def test_pipes_are_left_out(tmp_path: Path) -> None:
    """Reading a pipe without a writer waits for ever."""
    (tmp_path / "1.png").write_bytes(b"")
    os.mkfifo(tmp_path / "2.png")
    (tmp_path / "3.png").symlink_to(tmp_path / "2.png")
    (tmp_path / "4.png").symlink_to(tmp_path / "missing.png")  # reported when it is read
    assert [path.name for path in image_files(tmp_path)] == ["1.png", "4.png"]
    assert [path.name for path in below(tmp_path)] == ["1.png", "4.png"]
