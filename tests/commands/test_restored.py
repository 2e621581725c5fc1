"""Evaluations of images that another program restored."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands.evaluations import FAST, brighten, evaluated, without_times, write_folders
from commands.test_wandb import records, summary
from conftest import Run, Start, wait_for
from deblurzoo.data.gopro import Gopro
from deblurzoo.data.restored import find_restored
from deblurzoo.errors import DeblurzooError
from deblurzoo.synthesis.options import ToyOptions
from deblurzoo.synthesis.toy import write_toy
from verbs import refused

TOY = ["data=toy", *FAST, "pictures=2", "rounding=floor"]
FIGURES = ("frames", "restored", "blurry", "gain_db", "resolution", "nothing_to_restore", "rounding", "data")


@pytest.fixture
def ours(deblurzoo: Run, identity: Path, tmp_path: Path) -> Path:
    """The results folder of a network on two clips of three frames each, in `data`."""
    write_toy(tmp_path / "data" / "toy", ToyOptions(train_clips=1, test_clips=2, frames=3, height=48, width=64))
    brighten(identity, 3.7)
    done = deblurzoo("evaluate", f"checkpoint={identity}", *TOY)
    assert done.returncode == 0, done.stderr
    return identity / "evaluate" / "toy_blur_floor"


def test_our_own_images_have_the_figures_of_the_network(deblurzoo: Run, ours: Path, tmp_path: Path) -> None:
    done = deblurzoo("evaluate", f"restored={ours}/restored", *TOY, "name=NAFNet", "source=https://example.org/nafnet")
    out = tmp_path / "runs" / "NAFNet" / "evaluate" / "toy_blur_floor"
    theirs = evaluated(done, out)
    network = json.loads((ours / "results.json").read_text())
    assert {key: theirs[key] for key in FIGURES} == {key: network[key] for key in FIGURES}
    for one, other in zip(theirs["images"], network["images"], strict=True):
        assert one.pop("ms") is None and other.pop("ms") > 0
        assert one == other
    assert theirs["do_no_harm"] == [] and theirs["ms_per_image"] is None
    assert theirs["source"] == "https://example.org/nafnet"
    assert theirs["network"] == {"class": "RestoredImages", "arguments": {}, "parameters": None}
    for kind in ("restored", "side_by_side"):
        images = {path.relative_to(ours): path for path in (ours / kind).rglob("*.png")}
        assert images and all((out / name).read_bytes() == path.read_bytes() for name, path in images.items())

    table = deblurzoo("compare", "runs", "--csv", "t.csv", "--markdown", "t.md", "--html", "page.html")
    assert table.returncode == 0, table.stderr
    names = [row["name"] for row in csv.DictReader((tmp_path / "t.csv").open())]
    assert sorted(names) == ["NAFNet", "identity"]
    line = "NAFNet: images restored by another program, https://example.org/nafnet"
    assert line in table.stdout and line in (tmp_path / "t.md").read_text()
    assert f"<dt>origin</dt><dd>{line}</dd>" in (tmp_path / "page.html").read_text()


@pytest.mark.processes
def test_the_images_of_another_program_are_sent_to_wandb(process: Run, ours: Path, tmp_path: Path) -> None:
    done = process("evaluate", f"restored={ours}/restored", *TOY, "name=NAFNet")
    results = evaluated(done, tmp_path / "runs" / "NAFNet" / "evaluate" / "toy_blur_floor")
    sent = process("compare", "runs/NAFNet", "--to-wandb", "deblurzoo")
    assert sent.returncode == 0, sent.stderr
    (folder,) = (tmp_path / "runs" / "NAFNet" / "wandb").glob("offline-run-*")
    found = summary(records(folder))
    assert found["test/psnr"] == results["restored"]["psnr"]
    assert "test/ms_per_image" not in found


def arranged(restored: Path, folder: Path, name: str) -> None:
    """Copy the images CLIP/FRAME.png of a folder to names made by a pattern of clip, frame and suffix."""
    for path in restored.rglob("*.png"):
        target = folder / name.format(clip=path.parent.name, frame=path.stem)
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.imread(str(path)))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("{clip}/{frame}.png", "CLIP/FRAME"),
        ("test/{clip}/output/{frame}.BMP", "CLIP/FRAME"),
        ("{clip}-{frame}.png", "CLIP-FRAME"),
        ("{clip}_{frame}_deblurred.tif", "CLIP_FRAME_deblurred"),
        ("results/{clip}/{frame}.NAFNet-64.png", "CLIP/FRAME.NAFNet-64"),
    ],
)
def test_names_of_images(name: str, form: str, deblurzoo: Run, ours: Path, tmp_path: Path) -> None:
    arranged(ours / "restored", tmp_path / "theirs", name)
    (tmp_path / "theirs" / "readme.txt").write_text("not an image")
    done = deblurzoo("evaluate", "restored=theirs", *TOY)
    theirs = evaluated(done, tmp_path / "runs" / "theirs" / "evaluate" / "toy_blur_floor")
    assert theirs["restored"] == json.loads((ours / "results.json").read_text())["restored"]
    (line,) = (line for line in done.stdout.splitlines() if f" {form} " in line)
    assert " 6 " in line and "is TOY_test_000/000001" in line and "additional" not in done.stdout
    rows = list(csv.DictReader((tmp_path / "runs/theirs/evaluate/toy_blur_floor/matches.csv").open()))
    assert {row["matched_by"] for row in rows} == {form}
    assert [row["file"] for row in rows] == [name.format(**row) for row in rows] and len(rows) == 6


def test_frames_are_enough_for_a_single_clip(deblurzoo: Run, tmp_path: Path) -> None:
    data = write_folders(tmp_path, 3)
    done = deblurzoo("evaluate", f"restored={tmp_path}/blurry", *data, *FAST, "out=out")
    results = evaluated(done, tmp_path / "out")
    assert results["restored"] == results["blurry"] and results["gain_db"] == 0 and " FRAME " in done.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.processes
def test_an_interrupted_measurement_is_resumed_unless_an_image_changes(
    start: Start, process: Run, tmp_path: Path
) -> None:
    arguments = ["evaluate", f"restored={tmp_path}/theirs", *write_folders(tmp_path, 60, (240, 320)), *FAST, "out=out"]
    shutil.copytree(tmp_path / "blurry", tmp_path / "theirs")
    whole = evaluated(process(*arguments[:-1], "out=whole"), tmp_path / "whole")
    for changes in (False, True):
        killed, rows = start(*arguments), tmp_path / ".out.unfinished" / "measured.jsonl"
        wait_for(lambda rows=rows: rows.is_file() and rows.read_text().count("\n") >= 5, killed)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait(timeout=60)
        if changes:
            shutil.copy(tmp_path / "sharp" / "0000.png", tmp_path / "theirs" / "0000.png")
        done = process(*arguments)
        results = evaluated(done, tmp_path / "out")
        assert ("resuming out" in done.stdout) is not changes
        assert (without_times(results)["images"] == without_times(whole)["images"]) is not changes
        shutil.rmtree(tmp_path / "out")


def gray(path: Path) -> None:
    cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


def deep(path: Path) -> None:
    cv2.imwrite(str(path), cv2.imread(str(path)).astype(np.uint16) * 257)


def small(path: Path) -> None:
    cv2.imwrite(str(path), cv2.imread(str(path))[1:])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Path.unlink, "lacks 1 of 6 images: TOY_test_001/000001. Add them with names such as"),
        (gray, "1 of 6 restored images cannot be measured: theirs/TOY_test_001/000001.png is gray"),
        (deep, "1 of 6 restored images cannot be measured: theirs/TOY_test_001/000001.png is 16-bit"),
        (small, "000001.png has 64x47 pixels, but frame TOY_test_001/000001 has 64x48"),
        (lambda path: shutil.copy(path, path.with_suffix(".jpg")), "has several images of TOY_test_001/000001: "),
        (lambda path: shutil.copy(path, path.parents[1] / "TOY_test_001_000001.png"), "has several images of"),
        (
            cut,
            "images cannot be measured: theirs/TOY_test_001/000001.png cannot be read (the PNG has no end chunk). Save",
        ),
        (damage, "images cannot be measured: theirs/TOY_test_001/000001.png cannot be read (its pixels are corrupt"),
        (link, "theirs/TOY_test_001/000001.png cannot be read (No such file or directory). Save 8-bit"),
    ],
)
def test_wrong_images_are_named_and_nothing_is_written(
    change: object, message: str, deblurzoo: Run, ours: Path, tmp_path: Path
) -> None:
    shutil.copytree(ours / "restored", tmp_path / "theirs")
    change(tmp_path / "theirs" / "TOY_test_001" / "000001.png")  # type: ignore[operator]
    done = deblurzoo("evaluate", "restored=theirs", *TOY)
    refused(done, message)
    assert not (tmp_path / "runs" / "theirs").exists()


def test_additional_images_are_named_and_not_used(deblurzoo: Run, ours: Path, tmp_path: Path) -> None:
    shutil.copytree(ours / "restored", tmp_path / "theirs")
    for name in ("000001_gt.png", "000009.png"):
        shutil.copy(tmp_path / "theirs" / "TOY_test_001" / "000001.png", tmp_path / "theirs" / "TOY_test_001" / name)
    done = deblurzoo("evaluate", "restored=theirs", *TOY)
    theirs = evaluated(done, tmp_path / "runs" / "theirs" / "evaluate" / "toy_blur_floor")
    assert theirs["restored"] == json.loads((ours / "results.json").read_text())["restored"]
    line = "2 additional images of theirs are not used: TOY_test_001/000001_gt.png, TOY_test_001/000009.png"
    assert line in " ".join((done.stdout + done.stderr).split())


def test_two_kinds_of_images_are_not_mixed(ours: Path, tmp_path: Path) -> None:
    arranged(ours / "restored", tmp_path / "theirs", "{clip}/{frame}_restored.png")
    arranged(ours / "restored", tmp_path / "theirs", "{clip}/{frame}_gt.png")
    samples = Gopro(str(tmp_path / "data" / "toy"), "blur").samples("test", 1)
    with pytest.raises(DeblurzooError, match="end in _gt, _restored: keep the images of one ending"):
        find_restored(tmp_path / "theirs", samples)


def test_wrong_options(deblurzoo: Run, ours: Path, identity: Path, tmp_path: Path) -> None:
    restored = f"restored={ours}/restored"
    refused(deblurzoo("evaluate", restored, f"checkpoint={identity}", *TOY), "checkpoint and restored exclude each")
    refused(deblurzoo("evaluate", restored, *TOY, "switch=no_tlc"), "switch=no_tlc has no effect with restored")
    refused(deblurzoo("evaluate", restored, *TOY, "compile=true"), "compile=true has no effect with restored")
    low = deblurzoo("evaluate", restored, *TOY, "trainer.precision=bf16-mixed")
    refused(low, "trainer.precision=bf16-mixed has no effect with restored")
    refused(deblurzoo("evaluate", f"checkpoint={identity}", *TOY, "source=x"), "source=x has no effect with checkpoint")
    refused(
        deblurzoo("evaluate", restored, *TOY, "name=../x"), "name=../x is not the name of a folder below paths.runs"
    )
    for name in ("' '", "'a\nb'", "' /b'"):
        refused(deblurzoo("evaluate", restored, *TOY, f"name={name}"), "below paths.runs: give a name in one line")
    refused(deblurzoo("evaluate", restored, *TOY, "source='a\nb'"), "must be in one line, without control characters")
    refused(deblurzoo("evaluate", "restored=''", *TOY), "checkpoint is not set: give ")
    refused(deblurzoo("evaluate", restored, *TOY, "name=identity"), "is the folder of a training: choose another name")
    refused(deblurzoo("evaluate", "restored=nothing", *TOY), "restored=nothing is not a folder")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["identity"]
