"""Callbacks and a module that tests add to runs by `_target_`, to observe or control training."""

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from deblurzoo.batch import Batch
from deblurzoo.training.srn import SRNDeblur


class SampleNames(pl.Callback):
    """Callback that appends clip and frame of each training sample to a file, one line per sample, after its step."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        with self.file.open("a") as file:
            file.writelines(f"{clip} {frame}\n" for clip, frame in zip(batch.clip, batch.frame, strict=True))


class Stop(pl.Callback):
    """Callback that stops training after `batches` batches: by SIGTERM, or by `trainer.should_stop`."""

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


class GradientNorms(pl.Callback):
    """Callback that appends, after each optimiser step, gradient norms to a file, as a line of JSON.

    The norms are of all parameters, of SRN's recurrent cell, and the largest element.
    """

    def __init__(self, file: str) -> None:
        self.file, self.step = Path(file), 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:  # within an accumulation
            return
        self.step = trainer.global_step
        cell = pl_module.net.recurrent_parameters() if isinstance(pl_module, SRNDeblur) else []
        norms = [_norm(pl_module.parameters()), _norm(cell), _norm(pl_module.parameters(), float("inf"))]
        with self.file.open("a") as file:
            file.write(json.dumps(dict(zip(("all", "cell", "largest"), norms, strict=True))) + "\n")


def _norm(parameters: Iterable[Tensor], kind: float = 2) -> float:
    return float(torch.nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None], kind))


class ShortEpochs(SRNDeblur):
    """Module that ends Lightning's epochs after two batches."""

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> int | None:
        return -1 if batch_idx == 2 else None
