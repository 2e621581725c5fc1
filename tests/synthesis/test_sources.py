from pathlib import Path

import numpy as np
import pytest

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.media.images import write_png
from deblurzoo.synthesis.sources import SharpInput, inspect, unused
from videos import moving, write_video


def flat(level: int, height: int = 4, width: int = 6) -> Image:
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of twelve frames, 1.png to 12.png, whose pixel values are their indices from 0."""
    for number in range(12):
        write_png(tmp_path / "frames" / f"{number + 1}.png", flat(number))
    return tmp_path / "frames"


def numbers(windows: list[list[Image]]) -> list[list[int]]:
    return [[int(image[0, 0, 0]) for image in window] for window in windows]


def frames(folder: Path) -> SharpInput:
    (source,) = inspect(folder, photographs=False)
    return source


def test_kinds(folder: Path, tmp_path: Path) -> None:
    assert inspect(folder, photographs=False) == [SharpInput(str(folder), "frames", 12, "6x4", None)]
    photos = [SharpInput(str(folder / f"{number}.png"), "photograph", 1, "6x4", None) for number in range(1, 13)]
    assert inspect(folder, photographs=True) == photos
    assert inspect(folder / "3.png", photographs=False) == photos[2:3]
    video = write_video(tmp_path / "a.mp4", moving(5), fps=30)
    assert inspect(video, photographs=True) == [SharpInput(str(video), "video", 5, "64x48", 30.0)]


def test_windows_are_in_the_order_of_names_and_may_overlap_or_leave_gaps(folder: Path) -> None:
    source = frames(folder)
    spans = [range(0, 3), range(2, 5), range(8, 11)]
    assert numbers(list(source.windows(spans))) == [[0, 1, 2], [2, 3, 4], [8, 9, 10]]
    assert list(source.windows([])) == []


def test_only_frames_of_windows_are_read(folder: Path) -> None:
    source = frames(folder)
    (folder / "5.png").write_bytes(b"damaged after it was looked at")
    assert numbers(list(source.windows([range(0, 3), range(5, 8)]))) == [[0, 1, 2], [5, 6, 7]]
    with pytest.raises(DeblurzooError, match=r"5\.png cannot be read"):
        list(source.windows([range(2, 5)]))


def test_frames_of_several_sizes(folder: Path) -> None:
    source = frames(folder)
    write_png(folder / "7.png", flat(0, 5, 5))
    with pytest.raises(DeblurzooError, match=r"frames of different sizes: 1\.png is 6x4, 7\.png is 5x5"):
        inspect(folder, photographs=False)
    assert [photo.size for photo in inspect(folder, photographs=True)][5:8] == ["6x4", "5x5", "6x4"]
    with pytest.raises(DeblurzooError, match="frame 6 is 5x5, but the first frame is 6x4"):
        list(source.windows([range(4, 7)]))


def test_a_source_that_ends_early(folder: Path) -> None:
    with pytest.raises(DeblurzooError, match="ends after 12 of 15 frames"):
        list(SharpInput(str(folder), "frames", 15, "6x4", None).windows([range(10, 13)]))


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(DeblurzooError, match="does not exist"):
        inspect(tmp_path / "nowhere", photographs=False)
    with pytest.raises(DeblurzooError, match="contains no images"):
        inspect(tmp_path, photographs=False)
    (tmp_path / "broken.png").write_text("not an image")
    with pytest.raises(DeblurzooError, match=r"broken\.png cannot be read"):
        inspect(tmp_path, photographs=False)


def test_frames_that_do_not_follow_each_other(folder: Path) -> None:
    (folder / "5.png").unlink()
    with pytest.raises(DeblurzooError, match="lacks frame 5: give a separate folder for each part, or use --phot"):
        inspect(folder, photographs=False)
    assert len(inspect(folder, photographs=True)) == 11
    write_png(folder / "5.png", flat(4))
    write_png(folder / "5.PNG", flat(4))
    with pytest.raises(DeblurzooError, match=r"5\.PNG and .*5\.png are both frame 5"):
        inspect(folder, photographs=False)


def test_what_systems_leave_beside_pictures(folder: Path) -> None:
    for name in ("._1.png", "~$2.png", "Thumbs.db", "@eaDir/1.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    assert frames(folder).frames == len(inspect(folder, photographs=True)) == 12


def test_all_photos_without_a_valid_header_are_named(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"")
    (folder / "b.png").write_bytes(b"text")
    with pytest.raises(DeblurzooError, match=r"2 of \d+ images cannot be used: .*a\.png.*, .*b\.png"):
        inspect(folder, photographs=True)


def test_unsupported_photos_and_videos_in_a_folder_of_images_are_named(folder: Path) -> None:
    (folder / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (folder / "notes.txt").write_text("nothing")
    write_video(folder / "b.mp4", moving(5))
    assert len(inspect(folder, photographs=True)) == 12
    assert unused(folder) == ["a.heic is a HEIC photo", "b.mp4 is a video"]
    assert unused(folder / "1.png") == []
    with pytest.raises(DeblurzooError, match=r"a\.heic is a HEIC photo: give a video, a photo, or a folder"):
        inspect(folder / "a.heic", photographs=True)


def test_the_content_of_a_source_decides_what_it_is(folder: Path) -> None:
    video = write_video(folder / "a.mp4", moving(5), fps=30).rename(folder / "video.png")
    photo = (folder / "1.png").rename(folder / "photo.mp4")
    assert [source.kind for path in (video, photo) for source in inspect(path, photographs=False)] == [
        "video",
        "photograph",
    ]
