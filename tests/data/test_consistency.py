"""The warping error of consecutive frames."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from conftest import Run
from deblurzoo.data.consistency import warping_errors
from deblurzoo.media import Image
from deblurzoo.media.images import write_png
from deblurzoo.metrics.psnr_ssim import image_psnr
from deblurzoo.reports.results import read


def frame(number: int, side: int = 160) -> Image:
    """Return a frame of a camera that moves by 3 pixels per frame."""
    return np.ascontiguousarray(skimage.data.coffee()[100 : 100 + side, 20 + 3 * number : 20 + 3 * number + side])


def brighter(image: Image, levels: int) -> Image:
    return (image.astype(int) + levels).clip(0, 255).astype(np.uint8)


def test_a_flickering_clip_has_a_larger_error_than_a_steady_one_of_equal_psnr() -> None:
    sharp = [(frame(n) // 2 + 60).astype(np.uint8) for n in range(4)]  # no value is clipped
    steady = [brighter(image, 8) for image in sharp]
    flickering = [brighter(image, 8 if n % 2 else -8) for n, image in enumerate(sharp)]
    for n in range(3):
        assert image_psnr(steady[n], sharp[n]) == image_psnr(flickering[n], sharp[n])
        clips = [(clip[n], clip[n + 1]) for clip in (steady, flickering, sharp)]
        errors = warping_errors(clips, sharp[n], sharp[n + 1])
        assert errors is not None
        assert errors[0] == pytest.approx(errors[2], abs=1e-4), "constant brightness does not flicker"
        assert errors[1] == pytest.approx(np.hypot(16, errors[2]), rel=0.02) and errors[2] < 4


def test_hidden_points_do_not_count() -> None:
    before, after = (np.ascontiguousarray(skimage.data.coffee()[100:260, 20:180]) for _ in range(2))
    patch = skimage.data.chelsea()[100:140, 150:190]
    before[60:100, 30:70], after[60:100, 36:76] = patch, patch  # an object in front of a fixed background
    (error,) = warping_errors([(before, after)], before, after) or (None,)
    ignored = np.sqrt(np.square(before.astype(float) - after)[:, 30:76].mean())
    assert error is not None and error < 0.5 * ignored


@pytest.mark.parametrize(
    ("first", "second"),
    [(frame(0, 31), frame(1, 31)), (frame(0), frame(90)), (frame(0), frame(1, 96))],
    ids=["small", "cut", "sizes"],
)
def test_frames_that_show_different_things_have_no_error(first: Image, second: Image) -> None:
    assert warping_errors([(first, first)], first, second) is None


def test_results_have_the_error_of_every_frame_with_a_previous_one(
    identity: Path, tmp_path: Path, deblurzoo: Run
) -> None:
    for number, name in enumerate(("1", "2", "3", "7")):
        write_png(tmp_path / "sharp" / f"{name}.png", frame(number))
        write_png(tmp_path / "blur" / f"{name}.png", cv2.blur(frame(number), (5, 1)))
    folders = [f"data.test.blur={tmp_path / 'blur'}", f"data.test.sharp={tmp_path / 'sharp'}"]
    evaluate = ["evaluate", f"checkpoint={identity}", "data=folder", *folders, "trainer=cpu", "out=out"]
    done = deblurzoo(*evaluate, "metrics=[sharpness]")
    assert done.returncode == 0, done.stderr
    results = read(tmp_path / "out" / "results.json")
    assert ["warping" in image.restored for image in results.images] == [False, True, True, False]  # 3 to 7 is a gap
    assert results.restored == results.blurry, "the network returns its input"
    expected = warping_errors(
        [(cv2.blur(frame(0), (5, 1)), cv2.blur(frame(1), (5, 1))), (frame(0), frame(1))], frame(0), frame(1)
    )
    assert expected == (results.images[1].restored["warping"], results.images[1].sharp["warping"])
    mean = np.mean([image.restored["warping"] for image in results.images[1:3]])
    assert results.restored["warping"] == pytest.approx(mean)
    assert results.sharp["sharpness"] > results.blurry["sharpness"] > 0

    single = deblurzoo(*evaluate[:-1], "out=single", "data.consecutive=false")
    assert single.returncode == 0 and "warping" not in single.stdout
    assert "warping" not in read(tmp_path / "single" / "results.json").restored

    table = deblurzoo("compare", "out", "single", "--csv", "t.csv", "--markdown", "t.md", "--html", "page.html")
    assert table.returncode == 0, table.stderr
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert any(line.startswith("| network |") and "sharpness | warping error" in line for line in lines)
    assert any(line.startswith("| sharp images |") and f"| {results.sharp['warping']:.2f} |" in line for line in lines)
    head = (tmp_path / "t.csv").read_text().splitlines()[0].split(",")
    assert {"warping", "blurry_warping", "sharp_warping", "sharp_sharpness"} <= set(head)
    page = (tmp_path / "page.html").read_text()
    assert "warping error (levels)" in page and "sharp images" in page


def test_a_resumed_evaluation_has_the_same_errors(identity: Path, tmp_path: Path, deblurzoo: Run) -> None:
    for number in range(12):
        for kind in ("blur", "sharp"):
            write_png(tmp_path / kind / f"{number}.png", frame(number, 96))
        write_png(tmp_path / "blur" / f"{number}.png", cv2.blur(frame(number, 96), (5, 1)))
    folders = [f"data.test.blur={tmp_path / 'blur'}", f"data.test.sharp={tmp_path / 'sharp'}"]
    evaluate = ["evaluate", f"checkpoint={identity}", "data=folder", *folders, "trainer=cpu", "datamodule.workers=0"]
    assert deblurzoo(*evaluate, "out=whole").returncode == 0
    broken = tmp_path / "blur" / "11.png"
    content = broken.read_bytes()
    broken.write_bytes(content[:-100] + bytes(100))  # of the same size
    assert deblurzoo(*evaluate, "out=resumed").returncode == 1
    broken.write_bytes(content)
    resumed = deblurzoo(*evaluate, "out=resumed")
    assert resumed.returncode == 0 and "resuming" in resumed.stdout + resumed.stderr
    whole, again = (read(tmp_path / out / "results.json") for out in ("whole", "resumed"))
    assert [(one.restored, one.sharp) for one in again.images] == [(one.restored, one.sharp) for one in whole.images]
    assert all("warping" in image.restored for image in again.images[1:])
