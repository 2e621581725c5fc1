"""Real evaluations: protocols, resuming, rounding, sharp input, pairs with nothing to restore."""

import csv
import json
import math
import os
import shutil
import signal
import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from commands.evaluations import FAST, brighten, evaluate_here, evaluated, on_all_cores, without_times, write_folders
from conftest import Run, Start, wait_for, write_kohler
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image
from deblurzoo.metrics.kohler import best_match
from deblurzoo.reports.gather import groups


def test_kohlers_protocol(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    write_kohler(tmp_path / "kohler", height=176, width=168)
    data = ["data=kohler", f"data.root={tmp_path}/kohler"]
    done = deblurzoo("evaluate", f"checkpoint={identity}", *data, *FAST)
    assert done.returncode == 1 and "the official archive has" in done.stderr and "Traceback" not in done.stderr
    done = deblurzoo("evaluate", f"checkpoint={identity}", *data, *FAST, "data.verify=false", "no_harm=2")
    out = identity / "evaluate" / "kohler_BlurryImages"
    results = evaluated(done, out)
    assert (results["dataset"], results["protocol"], results["measure"], results["frames"]) == ("kohler",) * 3 + (48,)
    assert len(results["incomplete_clips"]) == 48 and "48 of 48 official test clips are missing or too" in done.stdout
    assert list(results["restored"]) == list(results["blurry"]) == ["psnr", "mssim"]
    for image in results["images"]:
        assert image["blurry"]["psnr"] == pytest.approx(_kohler_psnr(int(image["frame"].rpartition("_")[2])), abs=0.5)
        assert image["blurry"]["psnr"] == pytest.approx(image["restored"]["psnr"])  # the network returns its input
        assert image["blurry"]["mssim"] > 0.95
    assert results["blurry"]["psnr"] == pytest.approx(np.mean([i["blurry"]["psnr"] for i in results["images"]]))
    assert results["do_no_harm_psnr"] == 100
    restored = read_image(out / "restored" / "Image2" / "Blurry2_5.png")
    frame = cv2.imdecode(_member(tmp_path / "kohler", 2, 5), cv2.IMREAD_COLOR)
    (expected,) = best_match([restored], [cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)])
    assert results["images"][16]["frame"] == "Blurry2_5" and results["images"][16]["restored"] == expected
    assert "MSSIM" in done.stdout and "unchanged" in done.stdout and "3-D" not in done.stdout
    table = deblurzoo("compare", "runs", "--csv", "t.csv", "--markdown", "t.md", "--html", "page.html")
    assert table.returncode == 0, table.stderr
    (row,) = csv.DictReader((tmp_path / "t.csv").open())
    assert float(row["mssim"]) == results["restored"]["mssim"] and row["ssim"] == row["ssim_matlab3d"] == ""
    assert float(row["do_no_harm_psnr"]) == 100
    heads = "| network | parameters | PSNR | MSSIM | gain dB | do no harm | ms / image |"
    assert heads in (tmp_path / "t.md").read_text() and "MSSIM" in (tmp_path / "page.html").read_text()


def _kohler_psnr(kernel: int) -> float:
    """Return the expected PSNR for `write_kohler`: for x and z = 0.8 x shifted + noise, the gain is <x, z> / <z, z>."""
    correlation = math.exp(-(kernel**2 + 3**2) / (4 * 3**2))  # of noise smoothed with sigma 3, at this shift
    gain = 0.8 * (120**2 + 35**2 * correlation) / (0.64 * (120**2 + 35**2) + 3**2)
    weights = 0.299**2 + 0.587**2 + 0.114**2  # luminance of independent channels
    error = (0.8 * gain - 1) ** 2 * (120**2 + 35**2 * weights) + gain**2 * 3**2 * weights
    overlap = (176 - kernel) * (168 - 3) / (176 * 168)
    return 10 * math.log10(255**2 / (error * overlap))


def _member(root: Path, image: int, kernel: int) -> np.ndarray:
    with zipfile.ZipFile(root / f"GroundTruth_pngs_Image{image}.zip") as archive:
        data = archive.read(f"Image{image}/Kernel{kernel}/GroundTruth{image}_{kernel}_10.png")
    return np.frombuffer(data, np.uint8)


def test_a_killed_evaluation_goes_on_and_ends_as_if_it_had_not_been(
    start: Start, process: Run, identity: Path, tmp_path: Path
) -> None:
    arguments = ["evaluate", f"checkpoint={identity}", *write_folders(tmp_path, 60), *FAST]
    whole = evaluated(process(*arguments, "out=whole"), tmp_path / "whole")

    killed = start(*arguments, "out=killed")
    unfinished = tmp_path / ".killed.unfinished"
    rows = unfinished / "measured.jsonl"
    wait_for(lambda: rows.is_file() and rows.read_text().count("\n") >= 5, killed)
    os.killpg(killed.pid, signal.SIGSTOP)
    second = process(*arguments, "out=killed")
    assert second.returncode == 1 and "another process is working in .killed.unfinished" in second.stderr
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(timeout=60)
    assert not (tmp_path / "killed").exists()
    (tmp_path / "killed" / "side_by_side").mkdir(parents=True)  # as if killed while the images were moved there
    lines = rows.read_text().split("\n")
    count = len(lines) - 1
    assert 5 <= count < 60
    with rows.open("a") as file:
        file.write('{"clip": "half a li')
    frames = [json.loads(line)["frame"] for line in lines[:count]]
    clip = json.loads(lines[0])["clip"]
    before = {frame: (unfinished / "restored" / clip / f"{frame}.png").stat().st_mtime_ns for frame in frames}

    done = on_all_cores([*arguments, "out=killed"], tmp_path)
    finished = evaluated(done, tmp_path / "killed")
    assert finished["threads"] == 1 and "threads: 1, as recorded" in done.stderr + done.stdout
    assert f"resuming killed: {count} of 68 images are measured" in done.stdout
    assert without_times(finished) == without_times(whole)
    for frame, written in before.items():
        assert (tmp_path / "killed" / "restored" / clip / f"{frame}.png").stat().st_mtime_ns == written
    for pattern in ("restored/*/*.png", "side_by_side/*.png"):
        files = [{p.name: p.read_bytes() for p in (tmp_path / out).glob(pattern)} for out in ("whole", "killed")]
        assert files[0] == files[1] and files[0]
    assert not unfinished.exists() and not list(tmp_path.rglob("*.tmp"))


def test_other_conditions_start_anew_and_stay_apart(
    identity: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    brighten(identity, 0.7)
    data = [f"checkpoint={identity}", *write_folders(tmp_path, 8)]
    out = f"out={tmp_path}/out"
    broken = tmp_path / "sharp" / "0007.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    with pytest.raises(DeblurzooError, match=r"0007\.png cannot be read"):
        evaluate_here(*data, out)
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.unfinished").is_dir()
    broken.write_bytes(whole)
    floor = evaluate_here(*data, out, "rounding=floor", "no_harm=0")
    assert "resuming" not in caplog.text and floor.rounding == "uint8, floor" and floor.frames == 8
    assert floor.restored == floor.blurry, "less than a step is rounded down"
    assert floor.do_no_harm_psnr is None

    nearest = evaluate_here(*data)
    assert (identity / "evaluate" / "folder_blurry" / "results.json").is_file()
    assert nearest.rounding == "uint8, nearest" and nearest.blurry == floor.blurry
    assert nearest.restored["psnr"] != floor.restored["psnr"]
    one_step = 20 * math.log10(255)  # except where a pixel is already 255
    assert [row.psnr for row in nearest.do_no_harm] == [pytest.approx(one_step, abs=0.05)] * 8
    assert len(groups([floor, nearest])) == 2, "in separate tables"
    with pytest.raises(DeblurzooError, match="rounding=up: Input should be 'nearest' or 'floor'"):
        evaluate_here(*data, "rounding=up")
    with pytest.raises(DeblurzooError, match="no_harm=-1: Input should be greater than or equal to 0"):
        evaluate_here(*data, "no_harm=-1")


def test_pictures_too_small_for_su30_are_refused(dvd: Path, identity: Path) -> None:
    with pytest.raises(DeblurzooError, match="multi-scale SSIM requires at least 161 per side"):
        evaluate_here(f"checkpoint={identity}", "data=dvd_su30", f"data.root={dvd}")


DVD_FRAMES = [0, 1, 2, 3, 5, 96, 97, 98, 99]
DELTAS = [4 + number % 7 for number in range(100)]


def write_clip(blurry: Path, sharp: Path, frames: Sequence[int]) -> np.ndarray:
    """Write a smooth gray image as all sharp frames; as blurry frame n, the image plus or minus DELTAS[n] in a
    checkerboard. Return the image."""
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(168, 176)), 4, mode="wrap")
    picture = np.repeat((120 + 25 * noise / noise.std()).round()[..., None], 3, axis=2)
    checkers = np.where(np.indices((168, 176)).sum(0) % 2, 1, -1)[..., None]
    blurry.mkdir(parents=True)
    sharp.mkdir(parents=True)
    for number in frames:
        cv2.imwrite(str(sharp / f"{number:05d}.png"), picture)
        cv2.imwrite(str(blurry / f"{number:05d}.png"), picture + DELTAS[number] * checkers)
    return picture


@pytest.mark.parametrize(
    ("data", "facts", "frames"),
    [
        ("gopro_blur", ("gopro", "gopro", "blur", "plain"), [0, 1, 2, 3]),
        ("gopro_blur_1100", ("gopro", "gopro", "blur", "plain"), [0, 1, 2]),
        ("gopro_blur_gamma", ("gopro", "gopro", "blur_gamma", "plain"), [0, 1, 2, 3]),
        ("gopro_blur_gamma_1100", ("gopro", "gopro", "blur_gamma", "plain"), [0, 1, 2]),
        ("dvd_flow", ("dvd", "flow", "input", "plain"), [0, 1, 2, 3, 5, 96, 97, 98]),
        ("dvd_all", ("dvd", "all", "input", "plain"), DVD_FRAMES),
        ("dvd_su30", ("dvd", "su30", "input", "kohler"), [2, 5, 97]),
        ("folder", ("folder", "folder", "input", "plain"), [0, 1, 2, 3]),
    ],
)
def test_protocols_have_their_known_answers(
    data: str, facts: tuple[str, ...], frames: Sequence[int], identity: Path, tmp_path: Path
) -> None:
    kind = facts[0]
    blurry, sharp = (facts[2], "sharp") if kind == "gopro" else ("input", "GT")
    clip = {
        "gopro": tmp_path / "data" / "test" / "GOPR0384_11_00",
        "dvd": tmp_path / "data" / "quantitative_datasets" / "IMG_0003",
        "folder": tmp_path / "data" / "clip",
    }[kind]
    picture = write_clip(clip / blurry, clip / sharp, DVD_FRAMES if kind == "dvd" else range(4))
    root = [f"data.root={tmp_path}/data"]
    folders = [f"data.test.blur={clip}/{blurry}", f"data.test.sharp={clip}/{sharp}"]
    where = folders if kind == "folder" else root
    results = evaluate_here(f"checkpoint={identity}", f"data={data}", *where, "pictures=0", "no_harm=1")
    assert (results.dataset, results.protocol, results.blur_folder, results.measure) == facts
    assert not list(identity.rglob("side_by_side"))  # pictures=0
    assert [int(image.frame) for image in results.images] == list(frames)
    deltas = np.array([DELTAS[number] for number in frames])
    if facts[3] == "plain":
        assert list(results.restored) == ["psnr", "ssim", "ssim_matlab3d", "warping"]
        expected = 20 * np.log10(255 / deltas)
    else:
        assert list(results.restored) == ["psnr", "mssim"]
        energy = (picture**2).mean()
        expected = 10 * np.log10(255**2 / (deltas**2 * energy / (energy + deltas**2)))  # the best gain is below 1
    assert [image.restored["psnr"] for image in results.images] == pytest.approx(list(expected), abs=1e-3)
    assert results.restored["psnr"] == pytest.approx(expected.mean(), abs=1e-3)
    assert results.do_no_harm_psnr == 100


def make_equal(root: Path, *numbers: int) -> None:
    """Replace blurry images of `write_folders` by the sharp images."""
    for number in numbers:
        shutil.copy(root / "sharp" / f"{number:04d}.png", root / "blurry" / f"{number:04d}.png")


def test_pairs_with_nothing_to_restore_are_in_no_mean_and_named(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    data = [*write_folders(tmp_path, 6), "data.consecutive=false"]
    whole = evaluated(deblurzoo("evaluate", f"checkpoint={identity}", *data, *FAST, "out=whole"), tmp_path / "whole")
    assert whole["nothing_to_restore"] == [] and "excluded" not in deblurzoo("compare", "whole").stdout
    make_equal(tmp_path, 1, 4)
    done = deblurzoo("evaluate", f"checkpoint={identity}", *data, *FAST, "no_harm=2")
    results = evaluated(done, identity / "evaluate" / "folder_blurry")
    clip = results["images"][0]["clip"]
    left = [image for image in whole["images"] if image["frame"] not in ("0001", "0004")]
    assert results["nothing_to_restore"] == [f"{clip}/0001", f"{clip}/0004"]
    assert results["frames"] == len(results["images"]) == 4
    for kind in ("blurry", "restored"):
        for name, value in results[kind].items():
            assert value == pytest.approx(np.mean([image[kind][name] for image in left]))
    line = f"excluded: 2 pairs with identical blurry and sharp images ({clip}/0001, {clip}/0004)"
    assert line in done.stdout.splitlines()
    done = deblurzoo("compare", "runs", "--markdown", "t.md", "--html", "page.html")
    assert line in done.stdout.splitlines()
    assert line.removeprefix("excluded: ") in (tmp_path / "t.md").read_text()
    page = (tmp_path / "page.html").read_text()
    assert f"<dt>excluded</dt><dd>{line.removeprefix('excluded: ')}</dd>" in page


def test_a_data_set_with_nothing_to_restore_is_one_error(deblurzoo: Run, identity: Path, tmp_path: Path) -> None:
    write_folders(tmp_path, 3)
    data = ["data=folder", f"data.test.blur={tmp_path}/sharp", f"data.test.sharp={tmp_path}/sharp"]
    done = deblurzoo("evaluate", f"checkpoint={identity}", *data, *FAST, "no_harm=0")
    message = " ".join(done.stderr.split())
    assert done.returncode == 1 and "Traceback" not in message
    assert "the blurry and the sharp image are identical in all 3 pairs: check that blur and sharp are" in message


def test_a_restored_picture_that_equals_its_sharp_one_counts_100_db(identity: Path, tmp_path: Path) -> None:
    """The network adds one level, and the blurry images lack one or two."""
    brighten(identity, 1)
    data = write_folders(tmp_path, 2)
    for number, missing in ((0, 1), (1, 2)):
        sharp = cv2.imread(str(tmp_path / "sharp" / f"{number:04d}.png")).clip(10, None)
        cv2.imwrite(str(tmp_path / "sharp" / f"{number:04d}.png"), sharp)
        cv2.imwrite(str(tmp_path / "blurry" / f"{number:04d}.png"), sharp - missing)
    results = evaluate_here(f"checkpoint={identity}", *data)
    assert [image.restored["psnr"] for image in results.images] == [100, pytest.approx(20 * math.log10(255))]
    assert results.nothing_to_restore == []


def test_a_blurry_picture_that_is_one_of_its_references_has_nothing_to_restore(identity: Path, tmp_path: Path) -> None:
    write_kohler(tmp_path / "kohler", height=176, width=168)
    with zipfile.ZipFile(tmp_path / "kohler" / "BlurryImages.zip") as archive:
        blurry = {name: archive.read(name) for name in archive.namelist()}
    blurry["Blurry2_5.png"] = _member(tmp_path / "kohler", 2, 5).tobytes()
    with zipfile.ZipFile(tmp_path / "kohler" / "BlurryImages.zip", "w") as archive:
        for name, content in blurry.items():
            archive.writestr(name, content)
    data = ["data=kohler", f"data.root={tmp_path}/kohler", "data.verify=false"]
    results = evaluate_here(f"checkpoint={identity}", *data, "no_harm=0", "pictures=0")
    assert results.frames == 47 and results.nothing_to_restore == ["Image2/Blurry2_5"]
