"""`deblurzoo data show`: a picture of training samples, as the network gets them."""

from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from deblurzoo.batch import Batch
from deblurzoo.commands.hydra_app import build, choose_blur, hydra_main, quiet_lightning
from deblurzoo.data.clips import ClipSource
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.errors import require_at_least
from deblurzoo.media import Image
from deblurzoo.media.images import write_png

COLUMNS = 8
GAP = 8
"""Pixels of white between samples."""


def contact_sheet(samples: list[Batch]) -> Image:
    """Return samples (T, 3, h, w) uint8 from left to right, `COLUMNS` a row, each T blurry frames over the sharp one.

    Returns:
        (H, W, 3) uint8.
    """
    towers = [np.concatenate([_pixels(frame) for frame in (*sample.blur, sample.sharp)]) for sample in samples]
    height, width, _ = towers[0].shape
    rows = -(-len(towers) // COLUMNS)
    sheet = np.full((rows * (height + GAP), min(COLUMNS, len(towers)) * (width + GAP), 3), 255, np.uint8)
    for number, tower in enumerate(towers):
        top, left = (number // COLUMNS) * (height + GAP), (number % COLUMNS) * (width + GAP)
        sheet[top : top + height, left : left + width] = tower
    return sheet


def _pixels(frame: Tensor) -> Image:
    pixels: Image = frame.permute(1, 2, 0).numpy()
    return pixels


def run(cfg: DictConfig) -> None:
    """Write the first `cfg.samples` training samples of a config of `deblurzoo train` to the PNG `cfg.out`."""
    quiet_lightning()
    require_at_least("samples", cfg.samples, 1)
    frames: int = build(cfg.model, recursive=False).net.frames
    choose_blur(cfg.data, cfg.blur)
    source: ClipSource = build(cfg.data)
    datamodule: DeblurDataModule = build(cfg.datamodule, source=source, frames=frames, seed=cfg.seed)
    crops = datamodule.training_crops()
    samples = [crops[number] for number in range(cfg.samples)]
    write_png(Path(cfg.out), contact_sheet(samples))
    for number, sample in enumerate(samples):
        print(f"{number:2d} {sample.clip} {sample.frame}")
    print(f"{cfg.out}: {cfg.samples} samples from left to right, {frames} blurry over one sharp; seed={cfg.seed}")


main = hydra_main("data_show")(run)

if __name__ == "__main__":
    main()
