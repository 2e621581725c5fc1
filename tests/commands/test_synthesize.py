"""The command `deblurzoo synthesize`."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from conftest import TINY, Run, Start, wait_for
from deblurzoo import __version__
from deblurzoo.commands.synthesize import main
from deblurzoo.data import Synthesized
from deblurzoo.data.checking import check
from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.media.images import read_image, write_png
from deblurzoo.synthesis.formation import expose
from videos import moving, write_video

LONG = ("--frames", 3, "--stride", 1, "--clip-length", 50, "--test-share", 0.3)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def write_frames(folder: Path, frames: list[Image]) -> Path:
    for number, frame in enumerate(frames):
        write_png(folder / f"{number:04d}.png", frame)
    return folder


def run(*arguments: object) -> None:
    """Run the command in this process, for speed."""
    main([str(argument) for argument in arguments])


def refused(*arguments: object, because: str) -> str:
    with pytest.raises(DeblurzooError) as caught:
        run(*arguments)
    assert because in str(caught.value)
    return str(caught.value)


def only_whole_pairs(root: Path) -> int:
    """Check that all files of every pair exist; return the number of pairs."""
    assert not list(root.rglob("*.tmp"))
    clips = [clip for clip in root.glob("*/*") if clip.is_dir()]
    found = [[sorted(p.name for p in (clip / f).glob("*")) for f in ("blur", "blur_gamma", "sharp")] for clip in clips]
    for blur, gamma, sharp in found:
        assert blur == gamma == sharp
    return sum(len(blur) for blur, _, _ in found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with sixty frames of 64x48."""
    return write_frames(tmp_path / "plane", moving(60))


def test_pairs_are_the_means_and_the_middles_of_windows(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder, "--out", tmp_path / "data", "--frames", 5, "--response", "srgb", "--gap", 2)
    assert "7 pairs for training, 2 for testing" in capsys.readouterr().out
    frames = moving(60)
    for split, starts in (("train", range(0, 35, 5)), ("test", (48, 53))):
        (clip,) = (tmp_path / "data" / split).iterdir()
        for number, start in enumerate(starts, start=1):
            window, name = frames[start : start + 5], f"{number:06d}.png"
            assert np.array_equal(read_image(clip / "sharp" / name), window[2])
            assert np.array_equal(read_image(clip / "blur" / name), np.mean(window, axis=0).round())
            assert np.array_equal(read_image(clip / "blur_gamma" / name), expose(window, "srgb"))
    assert only_whole_pairs(tmp_path / "data") == 9
    said = OmegaConf.load(tmp_path / "data" / "synthesis.yaml")
    assert (said.deblurzoo, said.frames, said.response, said.gap) == (__version__, [5, 5], "srgb", 2)
    (source,) = said.sources
    assert source.pop("stamp")[0] == sum(file.stat().st_size for file in folder.iterdir())
    assert source == {"path": str(folder), "kind": "frames", "frames": 60, "size": "64x48", "fps": None}


def test_noise_and_compression_are_on_the_blurry_pictures_alone(folder: Path, tmp_path: Path) -> None:
    for out, options in (("plain", ()), ("noisy", ("--noise", 5)), ("jpeg", ("--jpeg", 50))):
        run(folder, "--out", tmp_path / out, "--test-share", 0, *options)
    picture = "train/plane_11_00/{}/000001.png".format
    for out in ("noisy", "jpeg"):
        assert (tmp_path / out / picture("sharp")).read_bytes() == (tmp_path / "plain" / picture("sharp")).read_bytes()
    plain, noisy, jpeg = (
        read_image(tmp_path / out / picture("blur")).astype(float) for out in ("plain", "noisy", "jpeg")
    )
    inner = (plain > 25) & (plain < 230)
    assert (noisy - plain)[inner].std() == pytest.approx(5, abs=0.3)
    assert 1 < (jpeg - plain).std() < 20


def test_interpolated_blur_is_near_that_of_the_frames_in_between(tmp_path: Path) -> None:
    frames = moving(17, height=128, width=320)
    ordinary = write_frames(tmp_path / "ordinary", frames[::8])
    for out, options in (("plain", ("--frames", 3)), ("dense", ("--interpolate",))):
        run(ordinary, "--out", tmp_path / out, "--test-share", 0, *options)
    plain, dense = (
        read_image(tmp_path / out / "train/ordinary_03_00/blur/000001.png").astype(float) for out in ("plain", "dense")
    )
    truth = np.mean(frames, axis=0)
    inside = np.s_[:, 20:-20]
    assert np.square(dense - truth)[inside].mean() < 0.1 * np.square(plain - truth)[inside].mean()
    sharp = "train/ordinary_03_00/sharp/000001.png"
    assert np.array_equal(read_image(tmp_path / "dense" / sharp), frames[8])


def test_motion_that_is_too_large_to_interpolate(tmp_path: Path) -> None:
    quick = write_frames(tmp_path / "quick", moving(9, height=96, width=128, step=9))
    message = refused(
        quick, "--interpolate", "--out", tmp_path / "data", "--test-share", 0, because="the limit of interpolation"
    )
    assert f"{quick}, frames 0 to 2: motion of " in message
    assert not (tmp_path / "data").exists() and not (tmp_path / ".data.unfinished").exists()


def test_photographs_are_shaken_and_those_too_small_left_out(tmp_path: Path) -> None:
    photos = write_frames(tmp_path / "photos", moving(5, height=96, width=128))
    write_png(photos / "0001.png", moving(1, height=8, width=8)[0])
    too_small = f"complete, but these sources were left out:\n{photos / '0001.png'}: "
    refused(photos, "--photographs", "--shake", "8", "--out", tmp_path / "data", because=too_small)
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.glob("data/*/*"))] == [
        "data/test/0004", "data/train/0000", "data/train/0002", "data/train/0003",
    ]  # fmt: skip
    assert only_whole_pairs(tmp_path / "data") == 4
    for clip in (tmp_path / "data").glob("*/*"):
        blur, sharp = (read_image(clip / kind / "000001.png").astype(float) for kind in ("blur", "sharp"))
        assert blur.shape == sharp.shape
        assert np.square(np.diff(blur, axis=1)).mean() < 0.5 * np.square(np.diff(sharp, axis=1)).mean()


def test_pairs_with_nothing_to_restore_are_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each source has five exposures; nothing moves in the last two."""
    frames = moving(9)
    sources = [write_frames(tmp_path / name, frames + [frames[-1]] * 6) for name in ("first", "last")]
    equal = [f"{clip}/00000{number}" for clip in ("train/first_03_00", "test/last_03_00") for number in (4, 5)]
    run(*sources, "--frames", 3, "--out", tmp_path / "out")
    assert OmegaConf.load(tmp_path / "out" / "synthesis.yaml").nothing_to_restore == equal
    said = f"4 pairs have nothing to restore (identical images): {', '.join(equal)}; synthesis.yaml lists all"
    assert said in " ".join(capsys.readouterr().out.split())
    run(*sources, "--frames", 3, "--out", tmp_path / "out")  # already complete
    assert said in " ".join(capsys.readouterr().out.split())
    run(*sources, "--frames", 3, "--noise", 2, "--out", tmp_path / "noisy")
    assert "nothing_to_restore" not in OmegaConf.load(tmp_path / "noisy" / "synthesis.yaml")
    assert "nothing to restore" not in capsys.readouterr().out


def test_a_killed_run_continues_to_the_same_bytes(start: Start, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", moving(400))
    command = ("synthesize", video, *LONG, "--noise", 2)
    run(*command[1:], "--out", tmp_path / "whole", "--workers", 1)

    unfinished = tmp_path / ".data.unfinished"
    killed = start(*command, "--out", "data")
    wait_for(lambda: len(list(unfinished.glob("*/*/sharp/*.png"))) >= 20, killed)
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=60)
    assert not (tmp_path / "data").exists()
    made = sorted(unfinished.glob("*/*/sharp/*.png"))
    assert len(made) < 300
    made[3].unlink()  # as if killed before the last file of a pair
    (made[3].parent / f".{made[3].name}.1.tmp").write_bytes(b"half")
    kept = made[0].stat().st_mtime_ns

    other = "made with different options (seed: previously 0, now 1): remove it or give another --out"
    refused(*command[1:], "--out", tmp_path / "data", "--seed", 1, because=other)
    run(*command[1:], "--out", tmp_path / "data", "--workers", 3)
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")
    assert not unfinished.exists()
    assert (tmp_path / "data" / made[0].relative_to(unfinished)).stat().st_mtime_ns == kept

    before = contents(tmp_path / "data")
    run(*command[1:], "--out", tmp_path / "data")
    refused(*command[1:], "--out", tmp_path / "data", "--jpeg", 90, because="(jpeg: previously None, now 90)")
    assert contents(tmp_path / "data") == before


def test_sources_that_cannot_be_used_are_all_named_and_nothing_is_written(
    deblurzoo: Run, folder: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    cut = write_video(tmp_path / "cut.mp4", moving(40))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    mixed = write_frames(tmp_path / "mixed", [moving(1)[0], moving(1, height=64)[0]])
    short = write_video(tmp_path / "short.mp4", moving(3))
    before = contents(tmp_path)
    done = deblurzoo("synthesize", folder, text, cut, mixed, "nowhere.mp4", "--out", "data")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for message in (
        f"error: {text} cannot be read as a video",
        f"{cut} is truncated after",
        f"{mixed} has frames of different sizes: 0000.png is 64x48, 0001.png is 64x64",
        "nowhere.mp4 does not exist",
    ):
        assert message in done.stderr
    out = ("--out", tmp_path / "data")
    refused(short, *out, because="has 3 frames, too few for a window of 11")
    refused(folder, folder, *out, because=f"{folder} is given twice")
    assert contents(tmp_path) == before


def test_a_source_that_turns_out_to_be_damaged_is_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = write_video(tmp_path / "damaged.mp4", moving(100))
    data = bytearray(damaged.read_bytes())
    middle = len(data) * 7 // 10
    data[middle : middle + 400] = bytes(byte ^ 0x5A for byte in data[middle : middle + 400])
    damaged.write_bytes(data)
    command = (damaged, folder, "--out", tmp_path / "data", "--frames", 5, "--split", "time")
    for _ in range(2):  # the second time from existing files
        refused(*command, because=f"complete, but these sources were left out:\n{damaged}")
        assert "4 pairs for training, 2 for testing" in capsys.readouterr().out
        assert {clip.name for clip in (tmp_path / "data").glob("*/*")} == {"plane_05_00", "plane_05_01"}
    refused(damaged, "--out", tmp_path / "none", "--test-share", 0, because=f"{damaged}")
    assert not (tmp_path / "none").exists() and not (tmp_path / ".none.unfinished").exists()


def test_folders_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "mine").mkdir()
    before = contents(tmp_path)
    refused(folder, "--gap", 0, "--out", tmp_path / "file" / "data", because="file is not a folder)")
    refused(folder, "--gap", 0, "--out", tmp_path / "mine", because="mine exists already: remove it or give another")
    assert contents(tmp_path) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_whole_pairs_and_is_continued(folder: Path, small_disk: Path) -> None:
    command = (folder, *LONG, "--workers", 3, "--out", small_disk / "data")
    refused(*command, because="cannot be written (No space left on device): free disk space or choose another folder")
    assert 0 < only_whole_pairs(small_disk / ".data.unfinished") < 41
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    run(*command)
    assert only_whole_pairs(small_disk / "data") == 41


def test_what_it_writes_can_be_checked_and_trained_on(
    deblurzoo: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "GOPR0477_11_00.mp4", moving(120, height=80, width=96))
    run(video, "--out", tmp_path / "own", "--frames", 5)
    assert not check(Synthesized(str(tmp_path / "own"), "blur_gamma"))
    assert "2103" not in capsys.readouterr().out  # not compared with GOPRO's official counts
    data = ("data=synthesized", "data.root=own")
    done = deblurzoo("train", "experiment=srn_gopro", *TINY, *data, "debug=smoke", "name=run")
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "runs" / "smoke" / "run" / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("option", "value", "least"),
    [("stride", 0, 1), ("clip-length", 0, 1), ("gap", -1, 0), ("seed", -1, 0), ("workers", "x", 1)],
)
def test_numbers_below_their_bounds_are_refused(option: str, value: object, least: int, deblurzoo: Run) -> None:
    done = deblurzoo("synthesize", "photo.png", "--out", "out", f"--{option}={value}")
    assert done.returncode == 2
    assert f"argument --{option}: {value} must be a whole number of at least {least}" in done.stderr
