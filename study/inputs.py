"""Data of the study: the files that jobs read, and small data with the same layout."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
from trainings import HERE

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.media.images import read_image, write_png
from deblurzoo.media.video import read_video
from deblurzoo.synthesis.toy import PHOTOGRAPHS

PAIRS = {"reds": "folder_reds_020", "gopro": "gopro/test/GOPR0384_11_00"}
"""Folders of real pairs, with the sub-folders `blur` and `sharp`, relative to the folder of data."""
LISTS = ("train.txt", "validation.txt", "kodak.txt")
"""File names of the training, validation and test photos."""

VIDEO = "GOPR0477_11_00_240fps.mp4"
"""Video of a camera at 240 frames per second, in the folder of data."""

SPLIT = ("train.names=train.txt", "test.names=validation.txt")


def prepare(given: argparse.Namespace) -> None:
    """Write all files that jobs read into the folder of runs. Paths of jobs are relative to this folder.

    Raises:
        DeblurzooError: a file of the data is missing, or the folder of runs is of other data.
    """
    data = given.runs / "toy" if given.toy else given.data.resolve()
    link = given.runs / "data"
    if link.is_symlink() and link.resolve() != data.resolve():  # another process may train on it
        raise DeblurzooError(f"--runs {given.runs} is of the data in {link.resolve()}: choose another folder of runs")
    if not given.toy:
        require_data(data, given.part)
    given.runs.mkdir(parents=True, exist_ok=True)
    if given.toy and not data.exists():
        write_toy(data)
    if not link.is_symlink():
        link.symlink_to(data, target_is_directory=True)
    for name in LISTS:
        shutil.copyfile((data if given.toy else HERE) / name, given.runs / name)
    for name, folder in PAIRS.items():
        for file in sorted((data / folder).glob("*/*.png")):
            image = read_image(file)
            for scale, scaled in (("full", image), ("half", halved(image))):
                target = given.runs / scale / name / file.parent.name / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                write_png(target, scaled)
    if not (given.runs / "packed").exists():  # JPEGs take five times as long to decode as a sample takes to draw
        words = ["data=photos", "data.root=data/photos", *(f"data.{names}" for names in SPLIT)]
        run(["data", "pack", *words, "out=packed/photos"], given)
    if given.part == "weights" and not (given.runs / "clip").exists():
        frames = given.runs / "frames" / Path(VIDEO).stem
        frames.mkdir(parents=True, exist_ok=True)
        for number, decode in enumerate(read_video(data / VIDEO)):
            write_png(frames / f"{number:06}.png", halved(decode()))
        exposures = ["--frames", "3-5", "--stride", "2", "--clip-length", "10"]
        run(["synthesize", str(frames), *exposures, "--out", "clip"], given)


def require_data(data: Path, part: str) -> None:
    """Raise a DeblurzooError if a file that jobs of a part read is missing."""
    listed = [("photos", "train.txt"), ("photos", "validation.txt"), ("kodak", "kodak.txt")]
    files = [data / folder / name for folder, names in listed for name in (HERE / names).read_text().split()]
    files += [data / folder / role for folder in PAIRS.values() for role in ("blur", "sharp")]
    files += [data / VIDEO] if part == "weights" else []
    if missing := [file for file in files if not file.exists()]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DeblurzooError(f"--data: {missing[0]}{more} cannot be found: see the table of data in study/README.md")


def halved(image: Image) -> Image:
    """Return an image at half resolution: means of 2x2 pixels."""
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def write_toy(folder: Path) -> None:
    """Write small data in the layout of the study's data, and their lists."""
    images = [read_image(path)[:192, :256] for path in PHOTOGRAPHS["test"]]
    for place in ("photos", "kodak", *(f"{pairs}/{role}" for pairs in PAIRS.values() for role in ("blur", "sharp"))):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            image = images[number % 2]
            write_png(folder / place / f"{number}.png", cv2.blur(image, (3, 1)) if place.endswith("blur") else image)
    for name, numbers in zip(LISTS, ((0, 1), (2,), (0,)), strict=True):
        (folder / name).write_text("".join(f"{number}.png\n" for number in numbers))
    write_toy_video(folder / VIDEO, images[0])


def write_toy_video(path: Path, image: Image) -> None:
    """Write a video of 60 frames: an image that moves to the left by one pixel per frame."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=240, width=192, height=128, pix_fmt="yuv420p")
        for number in range(60):
            crop = np.ascontiguousarray(image[:128, number:][:, :192])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(crop)))
        file.mux(stream.encode())


def run(words: list[str], given: argparse.Namespace) -> None:
    """Run a verb of deblurzoo in the folder of runs; exit with its exit code if it fails."""
    command = [sys.executable, "-m", "deblurzoo", *words]
    if code := subprocess.run(command, check=False, cwd=given.runs).returncode:
        sys.exit(code)
