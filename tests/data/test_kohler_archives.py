"""Köhler's archives: reading and validation."""

import hashlib
import logging
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import write_kohler
from deblurzoo.data import Kohler, kohler
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import Zipped, _opened

SMALL = {"height": 20, "width": 24}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Archives in the official layout, with two ground-truth frames for each of the 48 pairs."""
    write_kohler(tmp_path / "kohler", **SMALL)
    return tmp_path / "kohler"


def test_all_pairs_with_their_frames_in_order(root: Path) -> None:
    source = Kohler(str(root), verify=False)
    samples = source.samples("test", 1)
    assert [sample.frame for sample in samples[:13]] == [*(f"Blurry1_{k}" for k in range(1, 13)), "Blurry2_1"]
    assert len(samples) == 48 and {sample.clip for sample in samples} == {f"Image{i}" for i in range(1, 5)}
    assert [str(path).rpartition("/")[2] for path in samples[20].references] == [
        "GroundTruth2_9_2.png",
        "GroundTruth2_9_10.png",
    ]
    assert samples[20].sharp in samples[20].references and samples[20].sharp_frames == (samples[20].sharp,)
    assert samples[20].blur[0].read().shape == (20, 24, 3)
    assert len(source.incomplete_clips("test")) == 48, "two ground-truth frames are fewer than the official number"
    assert source.official["test"]["1_3"] == 197 and sum(source.official["test"].values()) == 9545


def test_the_frames_that_the_official_script_leaves_out_of_one_pair(root: Path) -> None:
    for pair in ("1_3", "1_4"):
        with zipfile.ZipFile(root / "GroundTruth_pngs_Image1.zip", "a") as archive:
            for frame in (30, 198, 199):
                archive.writestr(f"Image1/Kernel{pair[-1]}/GroundTruth{pair}_{frame}.png", b"")
    third, fourth = Kohler(str(root), verify=False).samples("test", 1)[2:4]
    assert [Path(str(frame)).stem.rpartition("_")[2] for frame in third.references] == ["2", "10", "198"]
    assert [Path(str(frame)).stem.rpartition("_")[2] for frame in fourth.references] == ["2", "10", "30", "198", "199"]


def test_unpacked_archives_are_the_same(root: Path, tmp_path: Path) -> None:
    for archive in root.iterdir():
        with zipfile.ZipFile(archive) as file:
            file.extractall(tmp_path / "unpacked")
    zipped, unpacked = (Kohler(str(path), verify=False).samples("test", 1) for path in (root, tmp_path / "unpacked"))
    assert [sample.frame for sample in zipped] == [sample.frame for sample in unpacked]
    for one, other in zip(zipped[::17], unpacked[::17], strict=True):
        pictures = [[frame.read() for frame in (*sample.blur, *sample.references)] for sample in (one, other)]
        assert all(np.array_equal(a, b) for a, b in zip(*pictures, strict=True))


def test_what_systems_leave_in_archives_and_folders_is_no_picture(root: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(root / "BlurryImages.zip", "a") as archive:
        for name in ("__MACOSX/Blurry1_1.png", "@eaDir/Blurry1_1.png", "._Blurry1_1.png"):
            archive.writestr(name, b"no picture")
    with zipfile.ZipFile(root / "GroundTruth_pngs_Image1.zip", "a") as archive:
        archive.writestr("__MACOSX/Image1/Kernel1/GroundTruth1_1_7.png", b"no picture")
    for file in root.iterdir():
        with zipfile.ZipFile(file) as archive:
            archive.extractall(tmp_path / "unpacked")
    (tmp_path / "unpacked" / "Blurry1_2.png").rename(tmp_path / "unpacked" / "Blurry1_2.PNG")
    for place in (root, tmp_path / "unpacked"):
        samples = Kohler(str(place), verify=False).samples("test", 1)
        assert len(samples) == 48 and len(samples[0].references) == 2
        assert samples[0].blur[0].read().shape == (20, 24, 3)


def test_a_subset_is_reported(root: Path) -> None:
    (root / "GroundTruth_pngs_Image3.zip").unlink()
    source = Kohler(str(root), verify=False)
    assert len(source.samples("test", 1)) == 36
    assert "missing: blurry image or ground truth of pair 3_7" in source.problems()


def test_md5_sums_are_checked_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DeblurzooError, match=r"BlurryImages\.zip has MD5 sum [0-9a-f]{32}, but the official .* 61ff"):
        Kohler(str(root)).samples("test", 1)
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in root.glob("*.zip")}
    monkeypatch.setattr(kohler, "ARCHIVES", sums)
    with caplog.at_level(logging.INFO):
        Kohler(str(root)).samples("test", 1)
        assert caplog.text.count("checking the MD5 sum") == 5
        Kohler(str(root)).samples("test", 1)
        assert caplog.text.count("checking the MD5 sum") == 5, "the result is cached"
    with (root / "BlurryImages.zip").open("ab") as file:
        file.write(b"more")
    with pytest.raises(DeblurzooError, match=r"download it again, or set data\.verify=false"):
        Kohler(str(root)).samples("test", 1)


@pytest.mark.parametrize(
    "name", ["../Blurry1_1.png", "/tmp/Blurry1_1.png", "a/../../Blurry1_1.png", r"..\x.png", "C:x.png"]
)
def test_members_that_lead_out_of_the_archive_are_refused(root: Path, name: str) -> None:
    with zipfile.ZipFile(root / "BlurryImages.zip", "a") as archive:
        archive.writestr(name, b"")
    with pytest.raises(DeblurzooError, match="with an unsafe path: do not use this archive"):
        Kohler(str(root), verify=False).samples("test", 1)


def test_damaged_archives_and_members_are_named(root: Path) -> None:
    path = root / "GroundTruth_pngs_Image2.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(DeblurzooError, match=r"Image2\.zip is corrupt \(File is not a zip file\)"):
        Kohler(str(root), verify=False).samples("test", 1)
    start = whole.index(b"IDAT")
    path.write_bytes(whole[:start] + b"DATI" + whole[start + 4 :])
    problems = [line for line in Kohler(str(root), verify=False).problems() if line.startswith("unreadable")]
    assert len(problems) == 1 and "Bad CRC-32" in problems[0] and "GroundTruth2_1_2.png" in problems[0]
    with zipfile.ZipFile(root / "text.zip", "w") as archive:
        archive.writestr("picture.png", b"no picture")
    with pytest.raises(DeblurzooError, match=r"text\.zip/picture\.png cannot be read \(not an image in a supported"):
        Zipped(root / "text.zip", "picture.png").read()


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        DeblurzooError, match=r"data\.root=.*nowhere is not a folder: set it to a folder with BlurryImages\.zip"
    ):
        Kohler(str(tmp_path / "nowhere")).samples("test", 1)
    cv2.imwrite(str(tmp_path / "Blurry1_1.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DeblurzooError, match="has no blurry image with ground truth"):
        Kohler(str(tmp_path)).samples("test", 1)
    with pytest.raises(DeblurzooError, match="this network reads 2 frames"):
        Kohler(str(tmp_path)).samples("test", 2)
    with pytest.raises(DeblurzooError, match="kohler has no training split"):
        Kohler(str(tmp_path)).samples("train", 1)


DAMAGES = {
    "version": (b"PK\x01\x02", 6, b"\xff"),
    "encrypted": (b"PK\x01\x02", 8, b"\x01"),
    "unknown compression": (b"PK\x01\x02", 10, b"\x63"),
    "place of the member": (b"PK\x01\x02", 42, b"\xff\xff\xff\x7f"),
    "signature of the member": (b"PK\x03\x04", 0, b"xx"),
    "compressed bytes": (b"PK\x03\x04", 90, 20 * b"\xff"),
    "number of members": (b"PK\x05\x06", 10, b"\xff\xff"),
    "size of the directory": (b"PK\x05\x06", 12, b"\xff\xff\xff\xff"),
}
"""A sample of the damages that a fuzzer has made: a signature, an offset from its first place, and the new bytes."""


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_archives_are_reported(damage: str, compression: int, root: Path) -> None:
    archive = root / "BlurryImages.zip"
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(archive, "w", compression) as file:
        for name, member in members.items():
            file.writestr(name, member)
    content = bytearray(archive.read_bytes())
    signature, offset, new = DAMAGES[damage]
    at = content.index(signature) + offset
    content[at : at + len(new)] = new
    archive.write_bytes(content)
    _opened.cache_clear()
    try:
        found = Kohler(str(root), verify=False).problems()
    except DeblurzooError as error:
        found = [str(error)]
    if damage != "number of members":  # zipfile counts them itself
        assert any("BlurryImages.zip" in line for line in found), found
