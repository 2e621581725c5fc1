"""Time the training loader from PNGs with OpenCV, PNGs with kornia-rs, JPEGs and a pack.

python benchmarks/data.py [ROOT] [--repeats 3] [--seconds 2] [--step 100]

ROOT has GOPRO's layout; without one, toy clips of 1280x720 are made. Every case is measured round after round in one
run, and medians are printed. Two limits stand beside them: the same augmentation of frames that are in memory already,
in as many processes and without a loader, and copying the bytes of the crops from memory to memory. `waits` is how long
a training step waits for its batch when the step itself takes --step milliseconds on another device.
"""

import argparse
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from deblurzoo.allocator import keep_memory

keep_memory()  # as the command line does, before torch is imported

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deblurzoo.data import ClipSource, Gopro, frames
from deblurzoo.data.batches import BatchLoader
from deblurzoo.data.datamodule import TrainingCrops
from deblurzoo.data.packing import pack
from deblurzoo.data.sampling import StepSampler
from deblurzoo.data.transforms import Augmentation
from deblurzoo.media import Image
from deblurzoo.media.images import read_image
from deblurzoo.media.naming import below, is_picture
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


def read_with_opencv(path: Path) -> Image:
    """Read a picture as everybody does."""
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))


def as_jpegs(root: Path, out: Path) -> None:
    """Copy the training frames as JPEGs of quality 95."""
    for path in filter(is_picture, below(root / "train")):
        target = out / path.relative_to(root).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.imread(str(path)), [cv2.IMWRITE_JPEG_QUALITY, 95])


def loaded(crops: TrainingCrops, workers: int, seconds: float, step: float) -> tuple[float, float]:
    """Return samples per second of the loader, and milliseconds that a step of `step` seconds waits for its batch."""
    loader = iter(BatchLoader(crops, workers, batch_sampler=StepSampler(BATCH, 0, 1_000_000)))
    next(loader)
    start, count = time.perf_counter(), 0
    while not count or time.perf_counter() - start < seconds:
        next(loader)
        count += 1
    rate = BATCH * count / (time.perf_counter() - start)
    waits = []
    for _ in range(3):
        time.sleep(step)
        start = time.perf_counter()
        next(loader)
        waits.append(time.perf_counter() - start)
    return rate, 1000 * statistics.mean(waits)


def repeated(work: Callable[[int], object], seconds: float) -> float:
    """Return how often per second `work(number)` is done."""
    cv2.setNumThreads(0)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        work(count)
        count += 1
    return count / (time.perf_counter() - start)


def in_parallel(work: Callable[[int], object], workers: int, seconds: float) -> float:
    """Return how often per second `work` is done by so many processes together."""
    context = multiprocessing.get_context("fork")
    rates: multiprocessing.Queue[float] = context.Queue()
    processes = [context.Process(target=lambda: rates.put(repeated(work, seconds))) for _ in range(workers)]
    for process in processes:
        process.start()
    total = sum(rates.get() for _ in processes)
    for process in processes:
        process.join()
    return total


def measure(
    case: str, source: ClipSource, recipe: str, count: int, workers: int, seconds: float, step: float
) -> tuple[float, float]:
    """Return samples per second of a case, and the milliseconds that a step waits (0 for the limits)."""
    crops = TrainingCrops(source.samples("train", count), RECIPES[recipe], SEED)
    if case == COPY:
        image = np.zeros((count + 1, 256, 256, 3), np.uint8)
        target = np.empty_like(image)
        return in_parallel(lambda _: np.copyto(target, image), workers, seconds), 0
    frames.read_image = {CV2: read_with_opencv, MEMORY: cache(read_image)}.get(case, read_image)
    if case == MEMORY:
        for sample in crops.samples:
            for frame in (*sample.blur, sample.sharp):
                frame.read()
        return in_parallel(crops.__getitem__, workers, seconds), 0
    return loaded(crops, workers, seconds, step)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--step", type=float, default=100.0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # the other cores are the workers'
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary)
        root = options.root or made / "toy"
        if not options.root:
            write_toy(root, ToyOptions(train_clips=2, test_clips=1, frames=7, height=720, width=1280))
        as_jpegs(root, made / "jpeg")
        pictures = Gopro(str(root), "blur")
        pack(pictures, made / "packed")
        sources = {
            **dict.fromkeys((CV2, KORNIA, MEMORY, COPY), pictures),
            JPEG: Gopro(str(made / "jpeg"), "blur"),
            PACKED: Gopro(None, "blur", packed=str(made / "packed")),
        }
        settings = list(itertools.product(RECIPES, (1, 2), (1, 2)))
        cases = list(itertools.product(range(options.repeats), settings, (CV2, KORNIA, JPEG, PACKED, MEMORY, COPY)))
        results: dict[tuple[object, ...], list[tuple[float, float]]] = {}
        for _, setting, case in track(cases, description="rounds", transient=True):
            found = measure(case, sources[case], *setting, options.seconds, options.step / 1000)
            results.setdefault((*setting, case), []).append(found)
    table = Table("recipe", "T", "workers", "from", "samples/s", f"x {CV2}", f"share of {MEMORY}", "waits ms")
    for *setting, case in results:
        rate, wait = (statistics.median(values) for values in zip(*results[(*setting, case)], strict=True))
        slowest, alone = (statistics.median(r for r, _ in results[(*setting, other)]) for other in (CV2, MEMORY))
        waits = f"{wait:.1f}" if case not in (MEMORY, COPY) else ""
        row = (case, f"{rate:,.0f}", f"{rate / slowest:.1f}", f"{rate / alone:.2f}", waits)
        table.add_row(*map(str, setting), *row, end_section=case == COPY)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
