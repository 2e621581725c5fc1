"""Measure the growth of time and memory of the commands with the size of their input.

python benchmarks/growth.py [--only SUBJECT …] [--quick] [--json FILE]

Each command runs in a separate process, with a small network whose weights are random. `CPU ms per unit` is the
additional CPU time per additional unit since the previous size: it stays equal if the time grows linearly. `--quick`
measures only the two smallest sizes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from deblurzoo.benchmark.harness import Figures, command_figures, measured, parser, show
from deblurzoo.errors import as_program
from deblurzoo.media.images import read_image, write_png
from deblurzoo.synthesis.options import ToyOptions
from deblurzoo.synthesis.toy import PHOTOGRAPHS, write_toy

SMALL = ["model=srn", "model.net.width=0.125", "model.net.blocks=1", "datamodule.batch_size=1", "logger=csv"]
SMALL += ["trainer.max_steps=1", "trainer=cpu", "datamodule.augmentation.crop=32", "datamodule.augmentation.zoom=null"]
Case = tuple[str, float]
"""Subject and size."""


class Subject(NamedTuple):
    """Sizes of an input, their unit, and the function that prepares an input and returns the command to measure."""

    unit: str
    sizes: tuple[float, ...]
    prepare: Callable[[Path, float], list[str]]


@cache
def image(side: int) -> np.ndarray:
    """Return a sharp image (side, side, 3)."""
    return cv2.resize(read_image(PHOTOGRAPHS["test"][0]), (side, side), interpolation=cv2.INTER_AREA)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that exists until the end of the program."""
    return tempfile.TemporaryDirectory(prefix="growth_")


@cache
def checkpoint() -> str:
    """Return the run folder of a network that was trained for one step."""
    folder = Path(_folder().name)
    write_toy(folder / "toy", ToyOptions(train_clips=1, test_clips=1, frames=3, height=64, width=64))
    words = ["recipe=toy", "data=toy", f"data.root={folder / 'toy'}", *SMALL]
    deblurzoo("train", *words, f"paths.runs={folder / 'runs'}", "name=small")
    return str(folder / "runs" / "small")


def deblurzoo(*words: str) -> None:
    """Run a verb; raise CalledProcessError if it fails."""
    subprocess.run([sys.executable, "-m", "deblurzoo", *words], check=True, stdout=subprocess.DEVNULL)


def photo(folder: Path, megapixels: float) -> list[str]:
    """Write a JPEG of a size; return the command that restores it."""
    side = round((megapixels * 1e6) ** 0.5)
    large = cv2.resize(image(512), (side, side), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / "photo.jpg"), large)
    return ["deblur", str(folder / "photo.jpg"), "--checkpoint", checkpoint(), "--out", str(folder / "out")]


def clip(folder: Path, frames: float) -> list[str]:
    """Write a video with a number of frames; return the command that restores it."""
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 30, (160, 96))
    for number in range(int(frames)):
        writer.write(np.ascontiguousarray(image(512)[number % 300 : number % 300 + 96, :160]))
    writer.release()
    return ["deblur", str(folder / "clip.mp4"), "--checkpoint", checkpoint(), "--out", str(folder / "out")]


def evaluation(folder: Path, images: float) -> list[str]:
    """Write pairs of images; return the command that evaluates the network on them."""
    for role, pixels in (("sharp", image(64)), ("blur", cv2.blur(image(64), (5, 1)))):
        (folder / role).mkdir()
        write_png(folder / role / "0.png", pixels)
        for number in range(1, int(images)):
            os.link(folder / role / "0.png", folder / role / f"{number}.png")
    pairs = [f"data.test.{role}={folder / role}" for role in ("blur", "sharp")]
    words = ["data=folder", *pairs, f"out={folder / 'out'}", "pictures=0", "no_harm=0", "trainer=cpu"]
    return ["evaluate", f"checkpoint={checkpoint()}", *words]


def comparison(folder: Path, runs: float) -> list[str]:
    """Write results of several runs with 48 images each; return the command that compares them."""
    words = evaluation(Path(tempfile.mkdtemp(dir=folder)), 48)
    deblurzoo(*words)
    out = Path(next(word for word in words if word.startswith("out=")).removeprefix("out="))
    for number in range(int(runs)):
        shutil.copytree(out, folder / "runs" / f"run{number}", copy_function=os.link)
        file = folder / "runs" / f"run{number}" / "results.json"
        content = json.loads(file.read_text())
        file.unlink()
        file.write_text(json.dumps({**content, "name": f"run{number}"}))
    return ["compare", str(folder / "runs"), "--html", str(folder / "page.html")]


def clips(folder: Path, number: float) -> Path:
    """Write GOPRO's layout with a number of training clips and one test clip of three pairs each; return the root."""
    write_toy(folder / "toy", ToyOptions(train_clips=1, test_clips=1, frames=3, height=64, width=64))
    (first,) = (folder / "toy" / "train").iterdir()
    for index in range(1, int(number)):
        shutil.copytree(first, first.with_name(f"clip{index:05d}"), copy_function=os.link)
    return folder / "toy"


def check(folder: Path, number: float) -> list[str]:
    """Write clips; return the command that checks them."""
    return ["data", "check", "data=toy", f"data.root={clips(folder, number)}"]


def start(folder: Path, number: float) -> list[str]:
    """Write clips; return the command that trains one step on them."""
    words = ["recipe=toy", "data=toy", f"data.root={clips(folder, number)}", *SMALL]
    return ["train", *words, f"paths.runs={folder / 'runs'}"]


def photos(folder: Path, number: float) -> list[str]:
    """Write photos; return the command that trains one step on them."""
    (folder / "photos").mkdir()
    write_png(folder / "photos" / "0.png", image(160))
    for index in range(1, int(number)):
        os.link(folder / "photos" / "0.png", folder / "photos" / f"{index}.png")
    (folder / "test.txt").write_text("0.png\n")
    data = ["data=photos", f"data.root={folder / 'photos'}", f"data.test.names={folder / 'test.txt'}"]
    data += ["data.length=[1,2]", "data.shorter_side=null", f"data.cache={folder / 'cache'}"]
    return ["train", "recipe=study", *data, *SMALL, f"paths.runs={folder / 'runs'}"]


def sweep(folder: Path, jobs: float) -> list[str]:
    """Run a sweep; return the same command, which finds that all jobs are finished."""
    words = start(folder, 1)
    words = [words[0], "-m", *words[1:], f"seed=range({int(jobs)})"]
    deblurzoo(*words)
    return words


SUBJECTS = {
    "deblur: pixels of a photo": Subject("MP", (0.1, 1, 8, 24), photo),
    "deblur: frames of a clip": Subject("frame", (10, 100, 1000), clip),
    "evaluate: images": Subject("image", (20, 200, 2000), evaluation),
    "compare --html: runs": Subject("run", (3, 40, 200), comparison),
    "data check: clips": Subject("clip", (33, 300, 3000), check),
    "train, start: clips": Subject("clip", (33, 300, 3000), start),
    "train, start: photos": Subject("photo", (100, 1000, 10_000), photos),
    "train -m: finished jobs": Subject("job", (10, 50, 200), sweep),
}


def measure(case: Case) -> Figures:
    """Return the seconds, CPU seconds and peak memory of a command, and the bytes and load seconds of its page."""
    subject, size = case
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        words = SUBJECTS[subject].prepare(folder, size)
        command = [sys.executable, "-m", "deblurzoo", *words]
        fails = subject == "data check: clips"  # reports that toy clips are not official clips
        page = folder / "page.html"
        figures = command_figures(command, may_fail=fails)
        shown = {"page": page.stat().st_size, "load": load_seconds(page)} if page.exists() else {}
        return {"page": None, "load": None, **figures, **shown}


def load_seconds(page: Path) -> float | None:
    """Return the seconds until Chromium has drawn the tables and charts of a page; None without Chromium."""
    from playwright.sync_api import sync_playwright  # deferred: one subject needs it

    chromium = shutil.which("chromium")
    if chromium is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        begun = time.perf_counter()
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-ready=true]", state="attached", timeout=120_000)
        seconds = time.perf_counter() - begun
        browser.close()
    return seconds


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, repeats=1)
    options.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), metavar="SUBJECT")
    options.add_argument("--quick", action="store_true", help="measure only the two smallest sizes")
    given = options.parse_args()
    cases = [(name, size) for name in given.only for size in SUBJECTS[name].sizes[: 2 if given.quick else None]]
    found = measured(cases, measure, given)

    def per_unit(case: Case) -> str:
        subject, size = case
        before = [other for name, other in cases if name == subject and other < size]
        if not before:
            return "-"
        more = found[case]["cpu"] - found[subject, before[-1]]["cpu"]
        return f"{1e3 * more / (size - before[-1]):.1f}"

    words = {"subject": lambda case: case[0]}
    figures = {
        "size": lambda case: f"{case[1]:g} {SUBJECTS[case[0]].unit}",
        "seconds": lambda case: f"{found[case]['seconds']:.1f}",
        "CPU seconds": lambda case: f"{found[case]['cpu']:.1f}",
        "CPU ms per unit": per_unit,
        "peak GB": lambda case: f"{found[case]['peak'] / 1e9:.2f}",
        "page MB": lambda case: f"{found[case]['page'] / 1e6:.2f}" if found[case]["page"] else "-",
        "page loads in s": lambda case: f"{found[case]['load']:.1f}" if found[case]["load"] else "-",
    }
    show(found, words, figures)


if __name__ == "__main__":
    as_program(main)
