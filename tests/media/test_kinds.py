"""The content of a file decides whether it is a photo or a video."""

import io
import shutil
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
import tifffile
from av.stream import Disposition

from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import image_size, read_image
from deblurzoo.media.kinds import Kind, kind_of
from deblurzoo.media.naming import image_files
from deblurzoo.media.video import inspect_video
from videos import moving, write_video

SMOOTH = np.asarray(
    PIL.Image.fromarray(np.random.default_rng(0).integers(30, 225, (5, 7, 3), dtype=np.uint8)).resize((90, 58))
)
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "AVIF", "GIF", "JPEG2000", "PPM", "QOI", "SGI", "PCX", "DIB", "DDS")


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(SMOOTH).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("name", ["photo", "photo.jfif", "photo.mp4", "photo.txt", "photo.PNG"])
@pytest.mark.parametrize("kind", FORMATS)
def test_photos_are_recognised_under_any_name(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(kind))
    assert kind_of(tmp_path / name) == Kind("photo", kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_data_sets_read_all_formats_of_photos(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.odd"
    path.write_bytes(encoded(kind))
    assert image_files(tmp_path) == [path]
    assert image_size(path) == (90, 58)
    assert read_image(path).flags.writeable
    assert np.abs(read_image(path).astype(int) - SMOOTH).mean() < (8 if kind in ("GIF", "AVIF", "WEBP") else 4)


def test_only_the_suffix_distinguishes_tga_from_noise(tmp_path: Path) -> None:
    (tmp_path / "a.tga").write_bytes(encoded("TGA"))
    (tmp_path / "noise").write_bytes(encoded("TGA"))
    assert kind_of(tmp_path / "a.tga") == Kind("photo", "TGA")
    assert kind_of(tmp_path / "noise").group == "other"
    np.testing.assert_array_equal(read_image(tmp_path / "a.tga"), SMOOTH)


@pytest.mark.parametrize("name", ["film", "film.jpg", "film.txt", "12:30.mov", "film %d.mp4", "concat:film.mkv"])
def test_videos_are_recognised_under_any_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "film.avi", moving(5)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert kind_of(Path(name)) == Kind("video", "")
    assert inspect_video(Path(name)).frames == 5


@pytest.mark.parametrize(
    ("head", "group", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported", "a HEIC photo"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "unsupported", "a HEIC photo"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "unsupported", "a raw photo of a camera"),
        (b"II*\0\x10\0\0\0CR\2\0", "unsupported", "a raw photo of a camera"),
        (b"FUJIFILMCCD-RAW 0201", "unsupported", "a raw photo of a camera"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "unsupported", "a JPEG XL photo"),
        (b"8BPS\0\1", "unsupported", "a Photoshop document"),
        (b"\x76\x2f\x31\x01\2\0\0\0", "unsupported", "an OpenEXR image"),
        (b"%PDF-1.7", "other", "a PDF or PostScript document"),
        (b'<?xml version="1.0"?>\n<!-- a -->\n<svg width="1"/>', "other", "an SVG drawing"),
        (b"PK\x03\x04\x14\0", "other", "an archive"),
        (b"ID3\x04\0\0", "other", "a sound file"),
        ("Grüße".encode(), "other", "a text file"),
        (b"", "other", "an empty file"),
        (bytes(range(200)), "other", "a file of an unknown kind"),
    ],
)
def test_everything_else_is_named(tmp_path: Path, head: bytes, group: str, name: str) -> None:
    (tmp_path / "file").write_bytes(head)
    assert kind_of(tmp_path / "file") == (group, name)


def test_the_preview_in_a_raw_photo_is_not_the_photo(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.dng", SMOOTH, photometric="rgb", extratags=[(50706, "B", 4, (1, 4, 0, 0), True)])
    with tifffile.TiffWriter(tmp_path / "a.nef") as file:  # the raw image is in a sub-directory
        file.write(SMOOTH[::8, ::8].copy(), photometric="rgb", subfiletype=1, subifds=1)
        file.write(SMOOTH, photometric="rgb")
    for name in ("a.dng", "a.nef"):
        assert kind_of(tmp_path / name) == Kind("unsupported", "a raw photo of a camera")


@pytest.mark.parametrize(("name", "group"), [("a.png", "photo"), ("a.JPG", "photo"), ("a.mp4", "video")])
def test_the_suffix_of_a_corrupt_file_decides(tmp_path: Path, name: str, group: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(200)))
    assert kind_of(tmp_path / name).group == group


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:9,\nfilm.mp4\n", "ffconcat version 1.0\nfile film.mp4\n"])
def test_playlists_open_no_other_file(tmp_path: Path, text: str) -> None:
    write_video(tmp_path / "film.mp4", moving(5))
    (tmp_path / "list.mp4").write_text(text)
    shutil.copy(tmp_path / "list.mp4", tmp_path / "list.txt")
    assert kind_of(tmp_path / "list.txt") == Kind("other", "a text file")
    with pytest.raises(DeblurzooError, match=r"list\.mp4 cannot be read as a video"):
        inspect_video(tmp_path / "list.mp4")


def test_sound_with_a_cover_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "cover.jpg").write_bytes(encoded("JPEG"))
    with av.open(str(tmp_path / "cover.jpg")) as picture, av.open(str(tmp_path / "song.mp4"), "w") as song:
        track = song.add_stream("aac", rate=48000)
        cover = song.add_stream_from_template(picture.streams.video[0])
        cover.disposition = Disposition.attached_pic
        for start in range(0, 4800, 1200):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1200), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48000, start
            song.mux(track.encode(samples))
        for packet in picture.demux():
            if packet.size:
                packet.stream = cover
                song.mux(packet)
        song.mux(track.encode())
    assert kind_of((tmp_path / "song.mp4").rename(tmp_path / "song.m4a")).group == "other"
