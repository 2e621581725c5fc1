import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from deblurzoo.errors import DeblurzooError
from deblurzoo.media.video import Video, inspect_video, read_video
from videos import moving, write_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "video.mp4", moving(40))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_frames_are_read_in_order_and_counted(tmp_path: Path, suffix: str) -> None:
    frames = moving(40)
    path = write_video(tmp_path / f"video{suffix}", frames)
    assert inspect_video(path) == Video(frames=40, width=64, height=48, fps=240.0)
    read = [picture() for picture in read_video(path)]
    assert len(read) == 40
    grey = np.array(frames).mean(axis=3)  # chroma has half the resolution
    for number, image in enumerate(read):
        assert image.dtype == np.uint8
        assert np.abs(grey - image.mean(axis=2)).mean(axis=(1, 2)).argmin() == number


@pytest.mark.parametrize("matrix", [None, Colorspace.ITU601, Colorspace.ITU709])
def test_colours_follow_the_matrix_that_the_video_names(tmp_path: Path, matrix: Colorspace | None) -> None:
    colour = np.array([200, 40, 90])
    flat = np.broadcast_to(colour.astype(np.uint8), (48, 64, 3)).copy()
    path = write_video(tmp_path / "flat.mp4", [flat] * 3, matrix=matrix)
    for picture in read_video(path):
        assert np.abs(picture().astype(int) - colour).max() <= 2


def test_videos_are_turned_as_they_are_meant_to_be_seen(video: Path) -> None:
    upright = next(read_video(video))()
    data = bytearray(video.read_bytes())
    one = 1 << 16
    head = data.find(b"tkhd")
    place = data.find(struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30), head)
    data[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    video.write_bytes(data)
    assert (inspect_video(video).width, inspect_video(video).height) == (48, 64)
    assert np.array_equal(next(read_video(video))(), np.rot90(upright, -1))


def refused(path: Path, message: str) -> None:
    with pytest.raises(DeblurzooError, match=message) as caught:
        inspect_video(path)
        for picture in read_video(path):
            picture()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_cut_off(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"video{suffix}", moving(40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    refused(path, r"is truncated after \d+ frames: copy it again")


def test_cut_off_before_its_head(tmp_path: Path, video: Path) -> None:
    data = video.read_bytes()
    video.write_bytes(data[: data.index(b"mdat")])
    refused(video, "cannot be read as a video|is truncated")


def test_damaged_in_the_middle(video: Path) -> None:
    data = bytearray(video.read_bytes())
    middle = len(data) * 6 // 10
    data[middle : middle + 400] = bytes(byte ^ 0x5A for byte in data[middle : middle + 400])
    video.write_bytes(data)
    refused(video, r"cannot be read as a video \(Invalid data|is corrupt")


def test_no_video_at_all(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("hello\n" * 100)
    refused(path, "cannot be read as a video")
    path.write_text("")
    refused(path, "cannot be read as a video")


def test_variable_frame_rate(tmp_path: Path) -> None:
    times = [*range(20), *range(22, 42)]
    path = write_video(tmp_path / "variable.mp4", moving(40), fps=50, times=times)
    refused(
        path,
        r"variable frame rate: frame 20 comes 60\.0 ms after the previous frame, but the usual gap is 20\.0 ms",
    )


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv"])
@pytest.mark.parametrize("fps", [30, 120, 240, 960])
def test_rounded_clocks_are_constant(tmp_path: Path, name: str, fps: int) -> None:
    times = [round(1000 * number / fps) for number in range(100)]  # 8, 8, 9 ms at 120 frames per second
    path = write_video(tmp_path / name, moving(100), fps=1000, times=times)
    found = inspect_video(path)
    assert found.frames == 100 and found.fps == pytest.approx(fps, rel=0.01)


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv"])
@pytest.mark.parametrize("fps", [30, 240, 480])
def test_dropped_frames_are_found_in_spite_of_rounding(tmp_path: Path, name: str, fps: int) -> None:
    times = [round(1000 * number / fps) for number in range(101) if number != 50]
    path = write_video(tmp_path / name, moving(100), fps=1000, times=times)
    refused(path, "variable frame rate: frame 50 comes")


def test_one_dropped_frame_is_no_rounding(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", moving(40), fps=240, times=[*range(20), *range(21, 41)])
    refused(path, "variable frame rate: frame 20 comes 8.3 ms after")


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.avi"])
def test_a_variable_rate_is_not_a_cut_off_file(tmp_path: Path, name: str) -> None:
    times = [*range(0, 10, 2), *range(10, 20), *range(20, 120, 10)]
    path = write_video(tmp_path / name, moving(25), fps=120, times=times)
    refused(path, "variable frame rate: frame 1 comes")


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.avi"])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.99])
def test_cut_off_anywhere(tmp_path: Path, name: str, share: float) -> None:
    path = write_video(tmp_path / name, moving(40))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(path, r"is truncated after \d+ frames: copy it again|cannot be read as a video")


@pytest.mark.parametrize("share", [0.5, 0.8, 0.99])
def test_wmv_files_declare_their_size(tmp_path: Path, share: float) -> None:
    with av.open(str(tmp_path / "video.wmv"), "w") as container:
        stream = container.add_stream("wmv2", rate=50)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for image in moving(40, 96, 128):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format="yuv420p")))
        container.mux(stream.encode())
    path = tmp_path / "video.wmv"
    assert inspect_video(path).frames == len(list(read_video(path))) == 40
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(path, r"is truncated after \d+ frames: copy it again")


@pytest.mark.parametrize("suffix", [".ts", ".m2ts"])
@pytest.mark.parametrize("lacking", [1, 100, 5000, 12_345])
def test_transport_streams_that_end_within_a_packet_are_cut_off(tmp_path: Path, suffix: str, lacking: int) -> None:
    path = write_video(tmp_path / f"video{suffix}", moving(40), fps=50)
    assert inspect_video(path).frames == len(list(read_video(path))) == 40
    path.write_bytes(path.read_bytes()[:-lacking])
    refused(path, r"is truncated after \d+ frames: copy it again")


def test_transport_streams_cut_between_two_frames_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.ts", moving(40), fps=50)
    frames = {picture().tobytes() for picture in read_video(path)}
    data = path.read_bytes()
    # Packets of stream 256 with the flag of a frame's start.
    starts = [place for place in range(0, len(data), 188) if data[place + 1 : place + 3] == b"\x41\x00"]
    path.write_bytes(data[: starts[20]])
    read = [picture().tobytes() for picture in read_video(path)]
    assert len(starts) == 40 and len(read) == len(set(read)) == 20 and set(read) < frames


def test_transport_streams_cut_within_a_frame_are_not_of_a_variable_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.ts", moving(40), fps=50)
    frames = {picture().tobytes() for picture in read_video(path)}
    data, outcomes = path.read_bytes(), set()
    for lacking in range(1, 60, 2):
        path.write_bytes(data[: -188 * lacking])
        try:
            count, read = inspect_video(path).frames, [picture().tobytes() for picture in read_video(path)]
        except DeblurzooError as error:
            outcomes.add("missing" if "between its last frames" in str(error) else "corrupt")
            assert "is truncated" in str(error) or "are corrupt: copy it again" in str(error)
        else:
            outcomes.add("shorter" if count < 40 else "whole")
            assert len(read) == count and set(read) <= frames
    assert {"missing", "shorter"} <= outcomes


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_corrupt_last_frames_are_not_dropped_silently(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"video{suffix}", moving(40), fps=50)
    data = bytearray(path.read_bytes())
    end = len(data) - (600 if suffix == ".mkv" else 0)  # the index
    data[end - 150 : end - 50] = bytes(byte ^ 0x5A for byte in data[end - 150 : end - 50])
    path.write_bytes(data)
    refused(path, r"are corrupt: copy it again|is corrupt|cannot be read as a video \(Invalid data")
