"""Chapters, covers, titles, subtitles and data of restored videos."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition
from PIL import Image

from conftest import Run
from deblurzoo import load
from deblurzoo.restore.video import inspect
from restore.films import decoded, moving, restored, write

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
