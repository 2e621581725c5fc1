"""Restored images are found by the names that the programs of the field write for the published data sets."""

import shutil
from pathlib import Path

import cv2
import pytest

from data.test_published import SETS
from deblurzoo.data import Source
from deblurzoo.data.bsd import Bsd
from deblurzoo.data.hide import Hide
from deblurzoo.data.realblur import RealBlur
from deblurzoo.data.reds import Reds
from deblurzoo.data.restored import find_restored
from deblurzoo.errors import DeblurzooError


def source(name: str, root: Path) -> Source:
    SETS[name](root)
    match name:
        case "hide":
            return Hide(str(root))
        case "reds":
            return Reds(str(root), "blur", "all")
        case "realblur_j":
            return RealBlur(str(root), "J")
        case _:
            return Bsd(str(root), "2ms16ms")


@pytest.mark.parametrize(
    ("name", "pattern", "form"),
    [
        ("hide", "{stem}", "FRAME"),
        ("hide", "test-long-shot/{stem}-restored", "FRAME-restored"),
        ("reds", "{clip}/{stem}", "CLIP/FRAME"),
        ("reds", "{clip}_{stem}", "CLIP_FRAME"),
        ("realblur_j", "{clip}/blur/{stem}", "CLIP/FRAME"),
        ("realblur_j", "{clip}-{stem}", "CLIP-FRAME"),
        ("realblur_j", "{clip}_{frame}_out", "CLIP_FRAME_out"),
        ("bsd_2ms16ms", "test/{clip}/{stem}", "CLIP/FRAME"),
    ],
)
def test_names_of_published_data_sets(name: str, pattern: str, form: str, tmp_path: Path) -> None:
    samples = source(name, tmp_path / "root").samples("test", 1)
    for sample in samples:
        blurry = Path(str(sample.blur[0]))
        target = tmp_path / "theirs" / pattern.format(clip=sample.clip, stem=blurry.stem, frame=sample.frame)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(blurry, target.with_name(f"{target.name}.png"))
    found = find_restored(tmp_path / "theirs", samples)
    assert len(samples) == len(found.matches) == len(found.files) and not found.additional
    assert {match.form for match in found.matches} == {form}
    for sample in samples:
        assert (found.files[sample.clip, sample.frame].read() == sample.blur[0].read()).all()


def test_the_frames_of_another_clip_are_missing(tmp_path: Path) -> None:
    samples = source("reds", tmp_path / "root").samples("test", 1)
    two = [*samples, *Reds(str(tmp_path / "root"), "blur", "all").samples("train", 1)]
    for sample in samples:
        target = tmp_path / "theirs" / f"{sample.frame}.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(str(sample.blur[0]), target)
    assert len(find_restored(tmp_path / "theirs", samples).matches) == len(samples)
    with pytest.raises(DeblurzooError, match=r"lacks \d+ of \d+ images: 029/00000000, 029/00000001"):
        find_restored(tmp_path / "theirs", two)


def test_all_wrong_images_are_counted(tmp_path: Path) -> None:
    samples = source("bsd_2ms16ms", tmp_path / "root").samples("test", 1)
    for number, sample in enumerate(samples):
        target = tmp_path / "theirs" / sample.clip / f"{sample.frame}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        picture = cv2.imread(str(sample.blur[0]))
        cv2.imwrite(str(target), picture[..., 0] if number == 1 else picture[number // 2 :])
    target.write_bytes(b"not an image")
    message = (
        r"3 of 4 restored images cannot be measured: .*theirs/049/00000001.png is gray, .*00000002.png has .* pixels, "
        r"but .*, .*00000003.png cannot be read \(not an image in a supported format\)\. Save 8-bit RGB"
    )
    with pytest.raises(DeblurzooError, match=message):
        find_restored(tmp_path / "theirs", samples)
