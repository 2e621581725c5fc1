"""Time the samples of `data=photos` beside a training step of SVRNN at width 0.25.

python benchmarks/photos.py PHOTOS [--repeats 5] [--batch 8]

A sample is drawn in a worker (crop of a packed photo, motion) and rendered on the device that trains. `decode` is the
time to decode a photo that is not packed. Each part is measured alone with all threads. `share` is the time to draw and
render a sample as a fraction of the time of a step, `samples/s` is the rate of drawing and rendering without a network.
The step is in the default precision.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from deblurzoo.batch import Batch
from deblurzoo.benchmark.harness import Figures, measured, parser, show
from deblurzoo.data import Photos
from deblurzoo.data.batches import Collation
from deblurzoo.data.datamodule import DeblurDataModule, TrainingCrops, large_enough
from deblurzoo.data.packing import pack
from deblurzoo.data.transforms import Augmentation
from deblurzoo.errors import as_program
from deblurzoo.training.precision import training_precision
from deblurzoo.training.svrnn import SVRNNDeblur

Case = tuple[int, int]
"""Crop size in pixels, and the number of frames."""


def measure(case: Case, photos: Path, packed: Path, batch: int) -> Figures:
    """Return the milliseconds per sample to decode, to draw, to render and for a training step."""
    crop, frames = case
    augmentation = Augmentation(crop=crop, zoom=(0.5, 1.0), rot90=True, permute_channels=True)
    source = photos_in(photos, packed)
    names = photos_in(photos, None).samples("train", 1)[:batch]
    samples = TrainingCrops(large_enough(source.samples("train", frames), augmentation), augmentation, seed=0)
    module = DeblurDataModule(source, frames, 0, batch, augmentation, workers=0)
    drawn = Collation()([samples[number] for number in range(batch)])
    return {
        "decode": milliseconds(lambda: [sample.sharp.read() for sample in names]) / batch,
        "draw": milliseconds(lambda: [samples[number] for number in range(batch)]) / batch,
        "render": milliseconds(lambda: module.on_after_batch_transfer(drawn, 0)) / batch,
        "step": milliseconds(training_step(module.on_after_batch_transfer(drawn, 0))) / batch,
    }


def photos_in(folder: Path, packed: Path | None) -> Photos:
    """Return the data set of the photos in a folder, read from a pack if there is one."""
    return Photos(str(folder), (3, 20), str(folder), shorter_side=720, packed=packed and str(packed))


def training_step(batch: Batch) -> Callable[[], None]:
    """Return a function that updates SVRNN with a batch."""
    net = SVRNNDeblur(net={"width": 0.25}, vgg16=None).net
    optimiser = torch.optim.Adam(net.parameters())
    low = training_precision("cpu") == "bf16-mixed"

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            restored = net(batch.blur[:, :1]).image
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(restored.float(), batch.sharp).backward()
        optimiser.step()

    return step


def milliseconds(work: Callable[[], object]) -> float:
    """Return the milliseconds of the second call of `work`."""
    work()
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, repeats=5)
    options.add_argument("photos", type=Path)
    options.add_argument("--batch", type=int, default=8)
    given = options.parse_args()
    cases = [(crop, frames) for crop in (128, 256) for frames in (1, 2)]
    with tempfile.TemporaryDirectory() as packed:
        pack(photos_in(given.photos, None), Path(packed) / "pack")
        found = measured(cases, lambda case: measure(case, given.photos, Path(packed) / "pack", given.batch), given)

    def sample(case: Case) -> float:
        return float(found[case]["draw"] + found[case]["render"])

    words = {"crop": lambda c: c[0], "T": lambda c: c[1]}
    figures = {
        **{f"{part} ms": lambda c, part=part: f"{found[c][part]:.0f}" for part in ("decode", "draw", "render", "step")},
        "samples/s": lambda c: f"{1000 / sample(c):.0f}",
        "share": lambda c: f"{sample(c) / found[c]['step']:.0%}",
    }
    show(found, words, figures)


if __name__ == "__main__":
    as_program(main)
