"""Pictures of a fixed set of validation frames during training."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from deblurzoo.batch import Batch
from deblurzoo.media import Image
from deblurzoo.media.images import write_png
from deblurzoo.metrics.batches import as_images
from deblurzoo.pictures.strips import strip


def show(trainer: pl.Trainer, path: Path, key: str, picture: Image, caption: str) -> None:
    """Write a picture to a file and to the W&B and TensorBoard loggers."""
    write_png(path, picture)
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(key, [picture], step=trainer.global_step, caption=[caption])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(key, picture, trainer.global_step, dataformats="HWC")


class RestoredPictures(pl.Callback):
    """Callback that writes blurry | restored | sharp strips of the first validation frames to files and loggers.

    Args:
        run: the run folder. Its pictures `pictures/CLIP_FRAME.png` are replaced at each validation.
        count: number of frames.
    """

    def __init__(self, run: str, count: int) -> None:
        self.folder, self.count = Path(run) / "pictures", count

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write and log one strip."""
        if batch_idx >= self.count or trainer.sanity_checking or not trainer.is_global_zero:
            return
        name = f"{batch.clip[0]}_{batch.frame[0]}"
        pictures = as_images(torch.stack([batch.blur[0, 0], outputs[0], batch.sharp[0]]))
        show(trainer, self.folder / f"{name}.png", f"val/{name}", strip(*pictures), "blurry | restored | sharp")
