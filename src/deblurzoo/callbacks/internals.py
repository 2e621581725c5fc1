"""Pictures of network internals during training."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pydantic import NonNegativeInt

from deblurzoo.batch import Batch
from deblurzoo.callbacks.pictures import show
from deblurzoo.pictures.internals import pictures


class InsidePictures(pl.Callback):
    """Callback that draws the internals of a network for one validation frame.

    Depending on the network: weight maps of the RNNs, features before and after the RNNs, the receptive field (SVRNN),
    and the optical flow next to the warped neighbouring frame (FlowRNN).

    Args:
        run: the run folder. Its pictures in `pictures/inside/` are replaced at each validation.
        channels: indices of the channels to draw.
    """

    def __init__(self, run: str, channels: list[NonNegativeInt]) -> None:
        self.folder, self.channels = Path(run) / "pictures" / "inside", tuple(channels)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the internals for the first frame."""
        if batch_idx or trainer.sanity_checking or not trainer.is_global_zero:
            return
        drawn = pictures(pl_module.net, batch.blur, self.channels)  # type: ignore[arg-type]
        for name, picture in drawn.items():
            show(trainer, self.folder / f"{name}.png", f"inside/{name}", picture, name.replace("_", " "))
