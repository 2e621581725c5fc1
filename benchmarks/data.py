"""Time the training data loader on PNGs (decoded by OpenCV and by kornia-rs), on JPEGs and on a pack.

python benchmarks/data.py [ROOT] [--repeats 3] [--seconds 2] [--step 100]

ROOT has GOPRO's layout; without ROOT, toy clips of 1280x720 pixels are created. Two upper bounds are measured as well,
in the same number of processes and without a loader: the augmentation of frames in memory, and copying the bytes of the
crops from memory to memory. `waits` is the time that a training step waits for its batch if the step itself takes
--step milliseconds and does not use the CPU.
"""

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from deblurzoo.benchmark.harness import Figures, measured, parser, show
from deblurzoo.data import ClipSource, Gopro
from deblurzoo.data.batches import BatchLoader
from deblurzoo.data.datamodule import TrainingCrops
from deblurzoo.data.packing import pack
from deblurzoo.data.sampling import StepSampler
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import as_program
from deblurzoo.media import Image, images
from deblurzoo.media.images import read_image
from deblurzoo.media.naming import below, is_image_file
from deblurzoo.synthesis.options import ToyOptions
from deblurzoo.synthesis.toy import write_toy

BATCH, SEED = 16, 0
RECIPES = {
    "crop": Augmentation(crop=256),
    "all of SVRNN's": Augmentation(crop=256, zoom=(0.5, 1.0), rot90=True, permute_channels=True),
}
CV2, KORNIA, JPEG, PACKED, MEMORY, COPY = (
    *("PNG, OpenCV", "PNG, kornia-rs", "JPEG, kornia-rs", "packed"),
    *("augmentation alone", "copy alone"),
)


class Case(NamedTuple):
    """A recipe, the number of blurry frames in a sample, the number of workers, and the kind of image source."""

    recipe: str
    frames: int
    workers: int
    source: str


def read_with_opencv(path: Path) -> Image:
    """Return an image, read by OpenCV."""
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))


def as_jpegs(root: Path, out: Path) -> None:
    """Copy the training frames as JPEGs of quality 95."""
    for path in filter(is_image_file, below(root / "train")):
        target = out / path.relative_to(root).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.imread(str(path)), [cv2.IMWRITE_JPEG_QUALITY, 95])


def loaded(crops: TrainingCrops, workers: int, seconds: float, step: float) -> Figures:
    """Return the samples per second, and the milliseconds that a step of `step` seconds waits for its batch."""
    loader = iter(BatchLoader(crops, workers, batch_sampler=StepSampler(BATCH, 0, 1_000_000)))
    next(loader)
    rate = BATCH * repeated(lambda _: next(loader), seconds)
    waits = []
    for _ in range(3):
        time.sleep(step)
        start = time.perf_counter()
        next(loader)
        waits.append(time.perf_counter() - start)
    return {"rate": rate, "waits": 1000 * statistics.mean(waits)}


def repeated(work: Callable[[int], object], seconds: float) -> float:
    """Return the number of calls of `work(number)` per second."""
    start, count = time.perf_counter(), 0
    while not count or time.perf_counter() - start < seconds:
        work(count)
        count += 1
    return count / (time.perf_counter() - start)


def in_parallel(work: Callable[[int], object], workers: int, seconds: float) -> float:
    """Return the number of calls of `work` per second, summed over `workers` processes."""
    context = multiprocessing.get_context("fork")
    rates: multiprocessing.Queue[float] = context.Queue()

    def reader() -> None:
        cv2.setNumThreads(0)
        rates.put(repeated(work, seconds))

    processes = [context.Process(target=reader) for _ in range(workers)]
    for process in processes:
        process.start()
    total = sum(rates.get() for _ in processes)
    for process in processes:
        process.join()
    return total


def measure(case: Case, source: ClipSource, seconds: float, step: float) -> Figures:
    """Return the samples per second of a case and, except for upper bounds, the milliseconds that a step waits."""
    crops = TrainingCrops(source.samples("train", case.frames), RECIPES[case.recipe], SEED)
    if case.source == COPY:
        image = np.zeros((case.frames + 1, 256, 256, 3), np.uint8)
        target = np.empty_like(image)
        return {"rate": in_parallel(lambda _: np.copyto(target, image), case.workers, seconds)}
    images.read_image = {CV2: read_with_opencv, MEMORY: cache(read_image)}.get(case.source, read_image)
    if case.source == MEMORY:
        for sample in crops.samples:
            for frame in (*sample.blur, sample.sharp):
                frame.read()
        return {"rate": in_parallel(crops.__getitem__, case.workers, seconds)}
    return loaded(crops, case.workers, seconds, step)


def sources(root: Path | None, made: Path) -> dict[str, ClipSource]:
    """Return the data set for each kind of image source."""
    if root is None:
        root = made / "toy"
        write_toy(root, ToyOptions(train_clips=2, test_clips=1, frames=7, height=720, width=1280))
    as_jpegs(root, made / "jpeg")
    pictures = Gopro(str(root), "blur")
    pack(pictures, made / "packed")
    jpegs, packed = Gopro(str(made / "jpeg"), "blur"), Gopro(None, "blur", packed=str(made / "packed"))
    return {CV2: pictures, KORNIA: pictures, JPEG: jpegs, PACKED: packed, MEMORY: pictures, COPY: pictures}


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, repeats=3)
    options.add_argument("root", type=Path, nargs="?")
    options.add_argument("--seconds", type=float, default=2.0)
    options.add_argument("--step", type=float, default=100.0)
    given = options.parse_args()
    torch.set_num_threads(1)  # leave the other cores to the workers
    with tempfile.TemporaryDirectory() as temporary:
        ways = sources(given.root, Path(temporary))
        cases = [Case(r, t, w, way) for r in RECIPES for t in (1, 2) for w in (1, 2) for way in ways]
        found = measured(cases, lambda c: measure(c, ways[c.source], given.seconds, given.step / 1000), given)

    def factor(case: Case, other: str) -> float:
        return float(found[case]["rate"] / found[case._replace(source=other)]["rate"])

    words = {"recipe": lambda c: c.recipe, "T": lambda c: c.frames, "workers": lambda c: c.workers}
    figures = {
        "samples/s": lambda c: f"{found[c]['rate']:,.0f}",
        f"x {CV2}": lambda c: f"{factor(c, CV2):.1f}",
        f"share of {MEMORY}": lambda c: f"{factor(c, MEMORY):.2f}",
        "waits ms": lambda c: f"{found[c]['waits']:.1f}",
    }
    show(found, {**words, "from": lambda c: c.source}, figures)


if __name__ == "__main__":
    as_program(main)
