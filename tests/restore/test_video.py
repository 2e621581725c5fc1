"""Restored videos keep times, colours, sizes and sound. Unsuitable files are refused."""

from pathlib import Path

import av
import numpy as np
import pytest

from conftest import Run
from deblurzoo import load
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.video import inspect_video
from deblurzoo.restore import video
from deblurzoo.restore.video import inspect
from restore.films import Frame, decoded, moving, restored, sound_of, write


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_time_stamps_rotation_and_sound_are_kept(identity: Path, tmp_path: Path, name: str) -> None:
    times = [0, 1, 2, 3, 7, 8, 9, 10]  # a variable frame rate
    source = write(tmp_path / name, moving(8), times, rotation=90, sound="aac")
    target = restored(source, load(identity), compare=tmp_path / "beside.mp4")
    assert target.name == name and sorted(p.name for p in target.parent.iterdir()) == [name]
    (before, pictures, turned), (after, results, turned_after) = decoded(source), decoded(target)
    assert after == pytest.approx(before, abs=1e-6) and len(after) == 8
    assert turned == turned_after == 90
    assert np.abs(np.stack(results).astype(int) - np.stack(pictures)).mean() < 8
    assert sound_of(target) == sound_of(source) and len(sound_of(target)) == 2 and all(sound_of(target))
    _, beside, _ = decoded(tmp_path / "beside.mp4")
    shown = np.rot90(beside[0])
    assert shown.shape == (64, 2 * 48, 3)
    assert np.abs(shown[:, :48].astype(int) - shown[:, 48:]).mean() < 8


@pytest.mark.parametrize("matrix", [None, 1, 9])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le"])
def test_colours_and_depth_are_kept(identity: Path, tmp_path: Path, pix_fmt: str, matrix: int | None) -> None:
    frames = [np.full((48, 64, 3), (200, 90, 30), np.uint8)] * 3
    source = write(tmp_path / "a.mp4", frames, pix_fmt=pix_fmt, matrix=matrix)
    target = restored(source, load(identity))
    planes = []
    for path in (source, target):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            planes.append(frame.to_ndarray(format="rgb48le"))
            assert frame.format.name == pix_fmt and frame.colorspace == (2 if matrix is None else matrix)
    assert np.abs(planes[0].astype(int) - planes[1]).max() <= 600  # of 65535; another matrix: 3000 or more


def test_other_containers_and_odd_sizes_become_matroska(identity: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "a.avi", moving(4, 31, 45), codec="ffv1", pix_fmt="yuv444p", sound="mp3")
    target = restored(source, load(identity))
    assert target.name == "a.avi.mkv"
    (_, before, _), (_, after, _) = decoded(source), decoded(target)
    assert np.abs(np.stack(after).astype(int) - np.stack(before)).mean() < 3
    assert sound_of(target) == sound_of(source)


def test_frames_of_avi_files_come_in_the_order_of_display(identity: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "a.avi", moving(9))  # H.264 has another order of decoding
    times, after, _ = decoded(restored(source, load(identity)))
    assert times == pytest.approx([number * 1001 / 30000 for number in range(9)], abs=0.001)
    assert np.abs(np.stack(after).astype(int) - np.stack(decoded(source)[1])).mean() < 8


def test_frames_get_their_real_neighbours(two_frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Frame] = []
    encode = video.Writer.write
    monkeypatch.setattr(video.Writer, "write", lambda w, image, *t: (encoded.append(image), encode(w, image, *t)))
    source = write(tmp_path / "a.mp4", moving(4, 64, 64))
    restorer = load(two_frames)
    restored(source, restorer)
    with av.open(str(source)) as container:
        frames = [video._pixels(frame, inspect(source)) for frame in container.decode(video=0)]
    np.testing.assert_array_equal(encoded, restorer(frames))
    assert any((result != restorer(frame)).any() for result, frame in zip(encoded[:-1], frames, strict=False))
    np.testing.assert_array_equal(encoded[-1], restorer(frames[-1]))  # the last frame replaces its next frame


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_video_that_is_cut_off_leaves_no_result(identity: Path, tmp_path: Path, name: str) -> None:
    whole = write(tmp_path / f"whole_{name}", moving(60))
    if name.endswith("mp4"):  # the header first, so that the start of the file is readable
        with av.open(str(whole)) as a, av.open(str(tmp_path / name), "w", options={"movflags": "faststart"}) as b:
            stream = b.add_stream_from_template(a.streams.video[0])
            for packet in a.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    b.mux(packet)
        whole = tmp_path / name
    data = whole.read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(DeblurzooError, match=rf"{name} (is truncated after \d+ frames|cannot be read as a video)"):
        restored(tmp_path / name, load(identity))
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("not a video")
    with pytest.raises(DeblurzooError, match=r"a\.mp4 cannot be read as a video"):
        inspect(tmp_path / "a.mp4")
    with pytest.raises(DeblurzooError, match=r"b\.mp4 cannot be read as a video"):
        inspect(tmp_path / "b.mp4")


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "kept", "losses"),
    [
        ("ffv1", "bgr0", "yuv444p", ()),
        ("ffv1", "gbrp10le", "yuv444p10le", ()),
        ("ffv1", "yuv422p", "yuv422p", ()),
        ("ffv1", "yuv440p", "yuv444p", ()),
        ("ffv1", "yuv411p", "yuv422p", ()),
        ("ffv1", "yuv422p12le", "yuv422p10le", ("12 bits per value become 10",)),
        ("ffv1", "yuva420p", "yuv420p", ("transparency is dropped",)),
        ("ffv1", "gray16le", "yuv420p10le", ("16 bits per value become 10",)),
        ("prores_ks", "yuva444p10le", "yuv444p10le", ("12 bits per value become 10", "transparency is dropped")),
    ],
)
def test_depth_and_chroma_are_kept_or_their_loss_is_known(
    identity: Path, tmp_path: Path, codec: str, pix_fmt: str, kept: str, losses: tuple[str, ...]
) -> None:
    source = write(tmp_path / "a.mkv", moving(3), codec=codec, pix_fmt=pix_fmt)
    assert inspect(source).losses == losses
    (_, before, _), (_, after, _) = decoded(source), decoded(restored(source, load(identity)))
    with av.open(str(tmp_path / "out" / "a.mkv")) as container:
        assert container.streams.video[0].pix_fmt == kept
    assert np.abs(np.stack(after).astype(int) - np.stack(before)).mean() < 8


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"x264-params": "tff=1"}),
        ("a.mpg", "mpeg2video", {"flags": "+ildct+ilme"}),
        ("a.mov", "prores_ks", {"flags": "+ildct"}),
    ],
)
def test_interlaced_video_is_refused(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv422p10le" if codec == "prores_ks" else "yuv420p"
        for image in moving(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())
    for read in (inspect, inspect_video):
        with pytest.raises(DeblurzooError, match=rf"{name} is interlaced video .*: deinterlace it first"):
            read(tmp_path / name)


def test_a_comparison_that_h264_cannot_hold_is_named(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    write(tmp_path / "a.mkv", [np.full((16, 9000, 3), 99, np.uint8)] * 2, codec="ffv1")
    done = deblurzoo("deblur", "a.mkv", "--checkpoint", identity, "--out", "out", "--compare")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").glob("a*")] == ["a.mkv"]
    assert "H.264 of 18000x16 pixels fails" in done.stdout


@pytest.mark.parametrize("pix_fmt", ["yuva420p", "yuv420p"])
def test_the_alpha_of_webm_is_named_as_lost(tmp_path: Path, pix_fmt: str) -> None:
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for image in moving(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format=pix_fmt)))
        container.mux(stream.encode())
    assert inspect(tmp_path / "a.webm").losses == (("transparency is dropped",) if "a" in pix_fmt else ())


def test_frames_of_several_sizes_are_refused(identity: Path, two_frames: Path, tmp_path: Path) -> None:
    parts = [write(tmp_path / f"{size}.ts", moving(6, *size)) for size in ((48, 64), (64, 96))]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    for network in (identity, two_frames):
        with pytest.raises(
            DeblurzooError, match=r"joined\.ts: frame 6 is 96x64, but the first frame is 64x48: convert"
        ):
            restored(tmp_path / "joined.ts", load(network))
    assert list((tmp_path / "out").iterdir()) == []
