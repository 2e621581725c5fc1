"""Pictures of what goes on inside a network, to see it learn."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pydantic import NonNegativeInt

from deblurzoo.batch import Batch
from deblurzoo.callbacks.pictures import show
from deblurzoo.pictures.internals import pictures


class InsidePictures(pl.Callback):
    """Draws, of one validation frame, what a network has of these: weight maps of its RNNs, features before and after
    them, the receptive field (SVRNN), flow beside the warped neighbour (FlowRNN).

    Args:
        run: the run folder; pictures go to `pictures/inside/`, the newest only.
        channels: which channels.
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
        """Draw the first frame."""
        if batch_idx or trainer.sanity_checking or not trainer.is_global_zero:
            return
        drawn = pictures(pl_module.net, batch.blur, self.channels)  # type: ignore[arg-type]
        for name, picture in drawn.items():
            show(trainer, self.folder / f"{name}.png", f"inside/{name}", picture, name.replace("_", " "))
