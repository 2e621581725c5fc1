"""Compute of a training."""

import logging
from typing import Any

import pytorch_lightning as pl

from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.errors import first_line
from deblurzoo.nets.cost import macs
from deblurzoo.training.module import DeblurModule

log = logging.getLogger(__name__)


class Compute(pl.Callback):
    """Callback that logs `train/tflop`: 10^-12 times the multiply-adds of the forward passes since step 0.

    They are the multiply-adds of one training crop, see `macs`, times the number of samples.

    Args:
        datamodule: the data module of the training.
    """

    def __init__(self, datamodule: DeblurDataModule) -> None:
        self.datamodule = datamodule
        self.macs: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count the multiply-adds of the network."""
        assert isinstance(pl_module, DeblurModule)
        crop = self.datamodule.augmentation.crop
        try:
            self.macs = macs(pl_module.net, (crop, crop))
        except Exception as error:  # a user's network can raise anything on the meta device
            reason = f"{type(error).__name__}: {first_line(error)}"
            log.info("train/tflop is not logged: the network does not run on the meta device (%s)", reason)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the compute of all steps so far."""
        self._log(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the compute next to the validation metrics: W&B draws only values that were logged together."""
        self._log(trainer, pl_module)

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.macs is not None:
            samples = self.datamodule.first_sample(trainer.global_step)
            pl_module.log("train/tflop", self.macs * samples / 1e12, batch_size=1)
