"""Draw `blur.svg`: the blur that `data=photos` simulates, and the blur of real pairs.

python docs/pictures/blur.py PHOTOS [NAME=FOLDER …] [--samples 240] [--out docs/pictures/blur.svg]

PHOTOS is a folder of photos. Each FOLDER contains the folders `blur` and `sharp` of consecutive frames, and is shown
under NAME (up to three). The histograms show the PSNR of blurry crops of 256 pixels, and the length of their blur: for
photos the median length of the paths of 25 points, for real pairs the median optical flow from a sharp frame to the
next one.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from architectures import Drawing
from charts import Chart, legend

from deblurzoo.batch import Batch
from deblurzoo.data import Folder, Photos
from deblurzoo.data.batches import Collation
from deblurzoo.data.datamodule import DeblurDataModule, TrainingCrops
from deblurzoo.data.sizes import large_enough
from deblurzoo.data.transforms import Augmentation
from deblurzoo.metrics.batches import as_images
from deblurzoo.metrics.psnr_ssim import image_psnr
from deblurzoo.synthesis.interpolation import flow_between
from deblurzoo.synthesis.motion import Floats

CROP = 256
Values = tuple[list[float], list[float]]
"""The PSNR of each crop in dB, and the length of the blur in pixels."""


def of_photos(folder: str, length: tuple[float, float], shorter_side: int, samples: int) -> Values:
    """Return the values of the first training samples of photos."""
    source, augmentation = Photos(folder, length, "", shorter_side), Augmentation(CROP)
    crops = TrainingCrops(large_enough(source.samples("train", 1), augmentation), augmentation, seed=0)
    datamodule = DeblurDataModule(source, 1, 0, 1, augmentation, workers=0)
    batches = [Collation()([crops[number]]) for number in range(samples)]
    lengths = [path_length(batch) for batch in batches]
    rendered = [datamodule.on_after_batch_transfer(batch, 0) for batch in batches]
    return [image_psnr(*map(next, map(as_images, (one.blur[:, 0], one.sharp)))) for one in rendered], lengths


def path_length(batch: Batch) -> float:
    """Return the median length of the paths of 25 points of a crop."""
    assert batch.unrendered
    (_, _, steps), side = batch.unrendered.shape[0], torch.linspace(0, CROP - 1, 5)
    points = torch.stack([*torch.meshgrid(side, side, indexing="xy"), torch.ones(5, 5)]).flatten(1)
    places = batch.unrendered.maps[:steps] @ points
    return float(places.diff(dim=0).norm(dim=1).sum(0).median())


def of_pairs(folder: Path) -> Values:
    """Return the values of the tiles of all frames of a clip."""
    pair: dict[str, str | None] = {kind: str(folder / kind) for kind in ("blur", "sharp")}
    samples = Folder(pair, pair).samples("train", 1)
    blurry, sharp = [one.blur[0].read() for one in samples], [one.sharp.read() for one in samples]
    corners = [
        (y, x)
        for y in range(0, sharp[0].shape[0] - CROP + 1, CROP)
        for x in range(0, sharp[0].shape[1] - CROP + 1, CROP)
    ]
    tiles = [(slice(y, y + CROP), slice(x, x + CROP)) for y, x in corners]
    psnr = [
        image_psnr(np.ascontiguousarray(b[t]), np.ascontiguousarray(s[t]))
        for b, s in zip(blurry, sharp, strict=True)
        for t in tiles
    ]
    flows = [np.linalg.norm(flow_between(*two), axis=2) for two in pairwise(sharp)]
    return psnr, [float(np.median(flow[tile])) for flow in flows for tile in tiles]


def histogram(drawing: Drawing, left: int, title: str, edges: Floats, values: dict[str, list[float]]) -> None:
    """Draw the shares of values in bins as one line for each data set; values outside of all bins count at the end."""
    shares = {name: np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] / len(v) for name, v in values.items() if v}
    chart = Chart(drawing, left, (edges[0], edges[-1]), (0, max(share.max() for share in shares.values())))
    chart.axes(title, edges[::2])
    for number, name in enumerate(values):
        if name in shares:
            chart.line(number, zip((edges[:-1] + edges[1:]) / 2, shares[name], strict=True))


def main() -> None:
    """Draw the figure, and print the quantiles of all values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("pairs", nargs="*", metavar="NAME=FOLDER")
    parser.add_argument("--samples", type=int, default=240)
    parser.add_argument("--length", type=float, nargs=2, default=(3, 20))
    parser.add_argument("--shorter-side", type=int, default=720)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "blur.svg")
    options = parser.parse_args()
    found = {"photos": of_photos(options.photos, tuple(options.length), options.shorter_side, options.samples)}
    found |= {name: of_pairs(Path(folder)) for name, _, folder in (pair.partition("=") for pair in options.pairs)}
    for name, values in found.items():
        for unit, some in zip(("dB", "px"), values, strict=True):
            if some:
                within = (
                    f", {np.mean((np.array(some) > 20) & (np.array(some) < 32)):.0%} within 20 to 32"
                    if unit == "dB"
                    else ""
                )
                print(
                    f"{name}: {np.percentile(some, (0, 5, 25, 50, 75, 95, 100)).round(1)} {unit} of {len(some)}{within}"
                )
    drawing = Drawing(760, 240)
    psnr, length = ({name: values[part] for name, values in found.items()} for part in (0, 1))
    histogram(drawing, 30, "PSNR of blurry crops, dB", np.arange(14.0, 47, 2), psnr)
    histogram(drawing, 400, "length of the blur, pixels", np.arange(0.0, 61, 4), length)
    legend(drawing, 228, [*found])
    drawing.save(options.out)


if __name__ == "__main__":
    main()
