from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from conftest import Run
from deblurzoo import load
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.video import inspect_video
from deblurzoo.restore import video
from deblurzoo.restore.restorer import Restorer
from deblurzoo.restore.tracks import target_of
from deblurzoo.restore.video import inspect, restore_video

Frame = np.ndarray[Any, Any]


def moving(count: int, height: int = 48, width: int = 64) -> list[Frame]:
    """Return frames of a coarse colour pattern that moves to the left."""
    rng = np.random.default_rng(0)
    plane = rng.integers(30, 220, (height // 8 + 1, (width + 2 * count) // 8 + 1, 3), dtype=np.uint8)
    plane = plane.repeat(8, axis=0).repeat(8, axis=1)
    return [np.ascontiguousarray(plane[:height, 2 * i : 2 * i + width]) for i in range(count)]


def write(
    path: Path,
    frames: list[Frame],
    times: list[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    sound: str | None = None,
    matrix: int | None = None,
) -> Path:
    """Encode frames at 30000/1001 per second, or at `times` in ticks of this rate, with two tones as sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(30000, 1001), options={"crf": "4"})  # type: ignore[call-overload]
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        if rotation:
            stream.set_display_rotation(rotation)
        audio = [container.add_stream(sound, rate=48000) for _ in range(2)] if sound else []
        container.start_encoding()
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image).reformat(format=pix_fmt, dst_colorspace=matrix)
            frame.pts = times[number] if times else number
            frame.time_base = Fraction(1001, 30000)
            container.mux(stream.encode(frame))
        for tone, track in enumerate(audio):
            for start in range(0, 1600 * len(frames), 1600):
                wave = np.sin(np.arange(start, start + 1600) * 0.03 * (tone + 1)).astype(np.float32)
                samples = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
                samples.sample_rate, samples.pts = 48000, start
                container.mux(track.encode(samples))
            container.mux(track.encode())
        container.mux(stream.encode())
    return path


def decoded(path: Path, depth: str = "rgb24") -> tuple[list[float], list[Frame], int]:
    """Return times in seconds, frames as stored, and the rotation."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [float(f.time) for f in frames], [f.to_ndarray(format=depth) for f in frames], frames[0].rotation


def sound_of(path: Path) -> list[list[bytes]]:
    with av.open(str(path)) as container:
        tracks: list[list[bytes]] = [[] for _ in container.streams.audio]
        first = len(container.streams) - len(tracks)
        for packet in container.demux(container.streams.audio):
            if packet.size:
                tracks[packet.stream.index - first].append(bytes(packet))
        return tracks


def restored(source: Path, restorer: Restorer, compare: Path | None = None) -> Path:
    target = target_of(source.parent / "out" / source.name)
    steps: list[None] = []
    count = restore_video(inspect(source), target, restorer, lambda: steps.append(None), compare)
    assert count == len(steps)
    return target


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


CHAPTERS: list[Any] = [
    {"id": 1, "start": 0, "end": 40, "time_base": Fraction(1, 1000), "metadata": {"title": "Anfang"}},
    {"id": 2, "start": 40, "end": 100, "time_base": Fraction(1, 1000), "metadata": {"title": "Ende"}},
]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_chapters_covers_languages_and_titles_are_kept(identity: Path, tmp_path: Path, name: str) -> None:
    Image.fromarray(moving(1)[0]).save(tmp_path / "cover.jpg")
    with (
        av.open(str(write(tmp_path / "plain.mp4", moving(6), sound="aac"))) as plain,
        av.open(str(tmp_path / "cover.jpg")) as cover,
        av.open(str(tmp_path / name), "w") as container,
    ):
        tracks = {stream: container.add_stream_from_template(stream) for stream in plain.streams}
        for (title, language), track in zip(
            (("Film", "und"), ("Ton", "deu"), ("", "fra")), tracks.values(), strict=True
        ):
            track.metadata.update({"title": title, "language": language} if title else {"language": language})
        container.metadata["title"] = "Reise"
        container.set_chapters(CHAPTERS)
        (packet,) = (packet for packet in cover.demux() if packet.size)
        if name == "a.mkv":
            container.add_attachment("cover.jpg", "image/jpeg", bytes(packet))
        else:
            packet.stream = container.add_stream_from_template(cover.streams.video[0])
            packet.stream.disposition = Disposition.attached_pic
            container.mux(packet)
        for part in plain.demux():
            if part.dts is not None:
                part.stream = tracks[part.stream]
                container.mux(part)

    def described(path: Path) -> list[Any]:
        with av.open(str(path)) as container:
            title, language = ("name", "title")[name == "a.mkv"], "language"
            tracks = [(s.metadata.get(title), s.metadata.get(language), s.disposition) for s in container.streams]
            chapters = [(c["start"] * c["time_base"], c["metadata"]) for c in container.chapters()]
            covers = [
                bytes(p) for p in container.demux() if p.stream.disposition == Disposition.attached_pic and p.size
            ]
            return [container.metadata["title"], tracks, chapters, covers]

    assert inspect(tmp_path / name).losses == ()
    wanted = described(tmp_path / name)
    assert described(restored(tmp_path / name, load(identity))) == wanted
    assert len(wanted[2]) == 2 and len(wanted[3]) == 1 and "deu" in str(wanted) and "Ton" in str(wanted)


def test_titles_in_any_encoding_are_kept(identity: Path, tmp_path: Path) -> None:
    title = "Jürgen".encode("latin-1").decode(errors="surrogateescape")  # as old programs write AVI files
    with av.open(str(tmp_path / "a.avi"), "w", metadata_errors="surrogateescape") as container:
        container.metadata["title"] = title
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = 48, 64
        for image in moving(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format="yuv420p")))
        container.mux(stream.encode())
    with av.open(str(restored(tmp_path / "a.avi", load(identity))), metadata_errors="surrogateescape") as container:
        assert container.metadata["title"] == title


def test_a_comparison_that_h264_cannot_hold_is_named(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    write(tmp_path / "a.mkv", [np.full((16, 9000, 3), 99, np.uint8)] * 2, codec="ffv1")
    done = deblurzoo("deblur", "a.mkv", "--checkpoint", identity, "--out", "out", "--compare")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").glob("a*")] == ["a.mkv"]
    assert "H.264 of 18000x16 pixels fails" in done.stdout


FONT = ("a.ttf", "application/x-truetype-font", b"glyphs")


def with_subtitles(path: Path, codecs: list[str], kind: str) -> Path:
    """Write a video with a track of three subtitles for each codec and, in Matroska, a font."""
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        tracks = [container.add_mux_stream(codec, time_base=Fraction(1, 1000)) for codec in codecs]
        for track, language in zip(tracks, ("deu", "fra"), strict=False):
            track.metadata["language"] = language
        if kind == "matroska":
            container.add_attachment(*FONT)
        container.start_encoding()
        for image in moving(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format="yuv420p")))
        for track, codec in zip(tracks, codecs, strict=True):
            for number in range(3):
                text = f"line {number}".encode()
                packet = av.Packet((len(text).to_bytes(2) if codec == "mov_text" else b"") + text)
                packet.stream, packet.time_base = track, Fraction(1, 1000)
                packet.pts = packet.dts = 200 * number
                packet.duration = 100
                container.mux(packet)
        container.mux(stream.encode())
    return path


def subtitles_of(path: Path) -> list[Any]:
    """Return language, times and texts of each subtitle track, and the attachments."""
    with av.open(str(path)) as container:
        tracks: dict[int, list[Any]] = {s.index: [s.metadata.get("language")] for s in container.streams.subtitles}
        for packet in container.demux():
            if packet.stream.index in tracks and packet.size > 2 and packet.pts is not None:  # MP4: gaps
                times = [round(float((ticks or 0) * packet.time_base), 3) for ticks in (packet.pts, packet.duration)]
                tracks[packet.stream.index].append((*times, bytes(packet)))
        return [*tracks.values(), [(s.name, s.mimetype, s.data) for s in container.streams.attachments]]


@pytest.mark.parametrize(
    ("name", "codecs", "kind"),
    [
        ("a.mp4", ["mov_text", "mov_text"], "mp4"),
        ("a.mov", ["mov_text"], "mov"),
        ("a.mkv", ["subrip", "hdmv_pgs_subtitle"], "matroska"),
        ("a.ts", ["dvb_subtitle"], "mpegts"),
    ],
)
def test_subtitles_are_copied(identity: Path, tmp_path: Path, name: str, codecs: list[str], kind: str) -> None:
    source = with_subtitles(tmp_path / name, codecs, kind)
    assert inspect(source).losses == ()
    target = restored(source, load(identity), compare=tmp_path / "beside.mkv")
    wanted = subtitles_of(source)
    assert len(wanted) == len(codecs) + 1 and len(wanted[0]) == 4, wanted
    assert subtitles_of(target) == wanted
    assert len(decoded(target)[0]) == 20 and subtitles_of(tmp_path / "beside.mkv") == [[]]


@pytest.mark.parametrize(
    ("name", "codecs", "kind", "losses"),
    [
        ("a.3gp", ["mov_text"], "mp4", ("subtitles are dropped (matroska cannot hold mov_text)",)),
        (
            "a.mp4",
            ["subrip", "hdmv_pgs_subtitle"],
            "matroska",
            ("subtitles are dropped (mp4 cannot hold hdmv_pgs_subtitle and subrip)", "attachments are dropped"),
        ),
    ],
)
def test_subtitles_that_the_result_cannot_hold_are_named_before_the_work(
    deblurzoo: Run, identity: Path, tmp_path: Path, name: str, codecs: list[str], kind: str, losses: tuple[str, ...]
) -> None:
    assert inspect(with_subtitles(tmp_path / name, codecs, kind)).losses == losses
    done = deblurzoo("deblur", name, "--checkpoint", identity, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert f"{name}: {', '.join(losses)} in the result" in done.stdout
    (target,) = (tmp_path / "out").glob(f"{name}*")
    assert len(decoded(target)[0]) == 20 and subtitles_of(target) == [[]]


@pytest.mark.parametrize("pix_fmt", ["yuva420p", "yuv420p"])
def test_the_alpha_of_webm_is_named_as_lost(tmp_path: Path, pix_fmt: str) -> None:
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for image in moving(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format=pix_fmt)))
        container.mux(stream.encode())
    assert inspect(tmp_path / "a.webm").losses == (("transparency is dropped",) if "a" in pix_fmt else ())


def with_data(path: Path, codec: str, kind: str) -> Path:
    """Write a video with a track of ten packets of data, one per frame."""
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        data = container.add_data_stream(codec)
        data.time_base = Fraction(1, 1000)
        container.start_encoding()
        for number, image in enumerate(moving(10)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image).reformat(format="yuv420p")))
            packet = av.Packet(f"place {number}".encode())
            packet.stream, packet.time_base, packet.duration = data, Fraction(1, 1000), 40
            packet.pts = packet.dts = 40 * number
            container.mux(packet)
        container.mux(stream.encode())
    return path


def data_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux() if packet.size and packet.stream.type == "data"]


def test_data_of_cameras_are_copied_or_their_loss_is_known(identity: Path, tmp_path: Path) -> None:
    source = with_data(tmp_path / "a.mp4", "bin_data", "mp4")  # as GoPro stores GPS
    assert inspect(source).losses == ()
    assert data_of(restored(source, load(identity))) == [f"place {number}".encode() for number in range(10)]
    sony = tmp_path / "b.mp4"  # of a kind that FFmpeg does not know, but in which it finds a time code
    sony.write_bytes(source.read_bytes().replace(b"gpmd", b"rtmd"))
    assert inspect(sony).losses == ("data tracks are dropped (mp4 cannot hold GoPro MET)",)
    drone = with_data(tmp_path / "c.ts", "klv", "mpegts")
    assert inspect(drone).losses == ("data tracks are dropped (matroska cannot hold klv)",)
    for path in (sony, drone):
        assert data_of(restored(path, load(identity))) == []


def test_chapters_and_time_codes_are_no_lost_data(identity: Path, tmp_path: Path) -> None:
    for name, key in (("chapters.mp4", "chapters"), ("time.mov", "timecode")):
        with av.open(str(write(tmp_path / "plain.mp4", moving(4)))) as plain, av.open(str(tmp_path / name), "w") as new:
            if key == "chapters":
                new.set_chapters(CHAPTERS)
            else:
                new.metadata["timecode"] = "01:02:03:04"
            track = new.add_stream_from_template(plain.streams.video[0])
            for packet in plain.demux():
                if packet.dts is not None:
                    packet.stream = track
                    new.mux(packet)
        assert inspect(tmp_path / name).losses == ()
        with (
            av.open(str(tmp_path / name)) as before,
            av.open(str(restored(tmp_path / name, load(identity)))) as after,
        ):
            assert len(before.streams.data) == len(after.streams.data) == 1
            assert before.streams.video[0].metadata.get("timecode") == after.streams.video[0].metadata.get("timecode")
            assert len(before.chapters()) == len(after.chapters()) == (2 if key == "chapters" else 0)


def test_frames_of_several_sizes_are_refused(identity: Path, two_frames: Path, tmp_path: Path) -> None:
    parts = [write(tmp_path / f"{size}.ts", moving(6, *size)) for size in ((48, 64), (64, 96))]
    (tmp_path / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    for network in (identity, two_frames):
        with pytest.raises(
            DeblurzooError, match=r"joined\.ts: frame 6 is 96x64, but the first frame is 64x48: convert"
        ):
            restored(tmp_path / "joined.ts", load(network))
    assert list((tmp_path / "out").iterdir()) == []
