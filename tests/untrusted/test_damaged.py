"""Damaged pictures, videos, exports and checkpoints: they are read or lead to a message."""

import io
import json
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deblurzoo.errors import DeblurzooError
from deblurzoo.export import export as export_to
from deblurzoo.media.images import Zipped, read_image
from deblurzoo.media.kinds import kind_of
from deblurzoo.media.photos import read_photo
from deblurzoo.media.video import inspect_video, read_video
from deblurzoo.restore.tracks import target_of
from deblurzoo.restore.video import inspect, restore_video
from deblurzoo.training.checkpoints import load_any, read_checkpoint
from untrusted.content import FUZZ, changed, checkpoint
from videos import moving, write_video

Damage = Callable[[bytes], bytes]


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """Draw a function that corrupts a file: truncates it, or overwrites a part of it."""
    place, length = draw(st.floats(0, 1)), draw(st.integers(1, 64))
    noise = draw(st.binary(min_size=length, max_size=length))

    def damage(content: bytes) -> bytes:
        start = int(place * len(content))
        return content[:start] if noise[0] % 2 else content[:start] + noise + content[start + length :]

    return damage


def png_head(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("read", [read_image, read_photo])
def test_a_picture_that_claims_billions_of_pixels_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_head(65535, 65535))
    with pytest.raises(DeblurzooError, match=r"bomb\.png cannot be read"):
        read(bomb)


@pytest.mark.parametrize("read", [read_image, read_photo])
def test_a_small_file_that_claims_many_pixels_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gif"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(bomb)
    content = bomb.read_bytes()
    bomb.write_bytes(content.replace(struct.pack("<HH", 8, 8), struct.pack("<HH", 30_000, 30_000)))
    with pytest.raises(DeblurzooError, match=r"bomb\.gif cannot be read .*more pixels than its data hold"):
        read(bomb)


def test_a_picture_in_an_archive_that_claims_billions_of_pixels_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("bomb.png", png_head(65535, 65535))
    with pytest.raises(DeblurzooError, match=r"bomb\.png cannot be read \(its header declares more pixels"):
        Zipped(tmp_path / "a.zip", "bomb.png").read()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@FUZZ
@given(damage=damages())
def test_damaged_pictures_are_read_or_refused(suffix: str, damage: Damage, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(damage(cv2.imencode(suffix, noise)[1].tobytes()))
    for read in (read_image, read_photo):
        try:
            read(path)
        except DeblurzooError as error:
            assert str(path) in str(error)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Short videos by name."""
    folder = tmp_path_factory.mktemp("films")
    names = ("film.mp4", "film.mkv", "film.avi", "film.flv", "film.ts")
    return {name: write_video(folder / name, moving(6), fps=30).read_bytes() for name in names}


HEADS = (
    b"stts",
    b"ctts",
    b"stsd",
    b"stsz",
    b"stco",
    b"elst",
    b"mdhd",
    b"tkhd",
    b"avcC",
    b"avih",
    b"strh",
    b"\x16\x54\xae\x6b",
)
"""Boxes, chunks and elements that hold time stamps, sizes, places and codecs."""


@st.composite
def damaged_films(draw: st.DrawFn, films: dict[str, bytes]) -> tuple[str, bytes]:
    """Draw a video that is truncated, or has other bytes anywhere or in its headers and tables."""
    name = draw(st.sampled_from(sorted(films)))
    content = films[name]
    if draw(st.integers(0, 3)) == 0:
        return name, content[: draw(st.integers(0, len(content)))]
    for _ in range(draw(st.integers(1, 3))):
        found = content.find(draw(st.sampled_from(HEADS)))
        place = found + draw(st.integers(4, 40)) if found >= 0 else draw(st.integers(0, len(content)))
        new = draw(
            st.sampled_from([b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(4), bytes(8)]) | st.binary(min_size=1, max_size=8)
        )
        content = content[:place] + new + content[place + len(new) :]
    return name, content


class Copy:
    """A restorer that returns its input."""

    def stream(self, frames: Iterator[Any], extra: int) -> Iterator[Any]:
        return frames


@FUZZ
@given(data=st.data())
def test_damaged_videos_are_read_or_refused(data: st.DataObject, films: dict[str, bytes], tmp_path: Path) -> None:
    name, content = data.draw(damaged_films(films))
    path, target = tmp_path / name, tmp_path / "out" / name
    path.write_bytes(content)
    kind_of(path)
    for use in (
        lambda: [inspect_video(path), *(frame() for frame in read_video(path))],
        lambda: restore_video(inspect(path), target_of(target), Copy(), lambda: None),  # type: ignore[arg-type]
    ):
        try:
            use()
        except DeblurzooError as error:
            assert str(path) in str(error) and not target_of(target).exists()
    target_of(target).unlink(missing_ok=True)
    assert not target.parent.exists() or not list(target.parent.iterdir())


@FUZZ
@given(data=st.data())
def test_damaged_exports_are_read_or_refused(data: st.DataObject, exported: bytes, tmp_path: Path) -> None:
    folder, file = tmp_path / "exported", tmp_path / "exported" / "model.safetensors"
    with ZipFile(io.BytesIO(exported)) as archive:
        archive.extractall(folder)
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    if data.draw(st.booleans()):
        head = json.dumps(changed(data.draw, json.loads(content[8 : 8 + length]))).encode()
        content = len(head).to_bytes(8, "little") + head + content[8 + length :]
    else:
        content = data.draw(damages())(content)
    file.write_bytes(content)
    try:
        load_any(folder)
    except DeblurzooError as error:
        assert "model.safetensors" in str(error)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An export as a zip archive."""
    folder = tmp_path_factory.mktemp("export")
    torch.save(checkpoint(), folder / "step_1.ckpt")
    export_to(folder / "step_1.ckpt", folder / "exported", onnx=False)
    return Path(shutil.make_archive(str(folder / "archive"), "zip", folder / "exported")).read_bytes()


@FUZZ
@given(damage=damages())
def test_damaged_checkpoints_are_read_or_refused(damage: Damage, tmp_path: Path) -> None:
    path = tmp_path / "step_1.ckpt"
    torch.save({"deblurzoo": {"module": "SRNDeblur"}, "state_dict": {"weight": torch.zeros(9)}}, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DeblurzooError):
        read_checkpoint(path)
