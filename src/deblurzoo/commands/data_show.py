"""`deblurzoo data show`: draw training samples as the network receives them."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from deblurzoo.commands.hydra_app import blur_choice, make, quiet_lightning, settled
from deblurzoo.commands.settings import Showing
from deblurzoo.commands.train import make_module
from deblurzoo.data import Source
from deblurzoo.data.batches import Collation
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.files import require_output
from deblurzoo.media.images import write_png
from deblurzoo.metrics.batches import as_images
from deblurzoo.pictures.strips import contact_sheet


def run(cfg: DictConfig) -> None:
    """Draw the first `cfg.samples` training samples of a `deblurzoo train` config; write the PNG file `cfg.out`."""
    quiet_lightning()
    settings = settled(cfg, Showing, data=blur_choice(cfg.data, cfg.blur), run_id="")
    require_output(Path(settings.out), f"out={settings.out}", is_folder=False)
    frames = make_module(settings.model.content).net.frames
    source: Source = make(settings.data.content, Source, "data")
    given = {"source": source, "frames": frames, "seed": settings.seed}
    datamodule = make(settings.datamodule.content, DeblurDataModule, "datamodule", **given)
    crops = datamodule.training_crops()
    samples = Collation()([crops[number] for number in range(settings.samples)])
    batch = datamodule.on_after_batch_transfer(samples, 0)
    towers = [list(as_images(torch.stack([*blur, sharp]))) for blur, sharp in zip(batch.blur, batch.sharp, strict=True)]
    write_png(Path(settings.out), contact_sheet(towers))
    for number, (clip, frame) in enumerate(zip(batch.clip, batch.frame, strict=True)):
        print(f"{number:2d} {clip} {frame}")
    shown = f"{settings.samples} samples from left to right, each a column of {frames} blurry and one sharp image"
    print(f"{settings.out}: {shown}; seed={settings.seed}")
