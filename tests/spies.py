"""What tests put into runs by `_target_`: callbacks and a module that tell or decide what happens in a training."""

import os
import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from deblurzoo.batch import Batch
from deblurzoo.training.srn import SRNDeblur


class SampleNames(pl.Callback):
    """Appends the clip and frame of every training sample that was learned from to a file, a line each."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        with self.file.open("a") as file:
            file.writelines(f"{clip} {frame}\n" for clip, frame in zip(batch.clip, batch.frame, strict=True))


class Stop(pl.Callback):
    """Ends training after some batches: by a signal, or as callbacks do."""

    def __init__(self, batches: int, by_signal: bool) -> None:
        self.left, self.by_signal = batches, by_signal

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self.left -= 1
        if not self.left and self.by_signal:
            os.kill(os.getpid(), signal.SIGTERM)
        elif not self.left:
            trainer.should_stop = True


class ShortEpochs(SRNDeblur):
    """Ends Lightning's epochs after two batches, as any module may."""

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> int | None:
        return -1 if batch_idx == 2 else None
