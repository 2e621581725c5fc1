"""Checkpoints that are whole or absent, one every so many steps."""

import io
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pydantic import PositiveInt
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from deblurzoo.files import write_atomically


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames; Lightning's own goes through the system's temporary folder."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write one checkpoint; through memory, as torch's own writer hides that a disk is full."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getbuffer())


class StepCheckpoints(Checkpoint):
    """Saves `checkpoints/step_NNNNNNNN.ckpt` every `every` steps, after the last one, and when a run is told to stop.

    A state is of the end of a step also when it is saved between the batches of the next one: no gradients are in it,
    and whoever resumes from it begins with the first of these batches.

    There is no choice of a best checkpoint: the papers report the last one, and the pictures that are measured
    during training belong to the test split.

    Args:
        run: the run folder.
        every: optimiser steps between two checkpoints.
        keep: how many of the newest are kept.
        run_id: the run's identity for loggers, stored in every checkpoint.
    """

    def __init__(self, run: str, every: PositiveInt, keep: PositiveInt, run_id: str) -> None:
        self.folder = Path(run) / "checkpoints"
        self.every, self.keep, self.run_id = every, keep, run_id
        self._saved_step = 0

    def file(self, step: int) -> Path:
        """Return where the checkpoint of a step lies."""
        return self.folder / f"step_{step:08d}.ckpt"

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Set Lightning's counts of batches and epochs to the end of the checkpoint's step, whenever it was saved."""
        step, fit_loop = checkpoint["global_step"], checkpoint["loops"]["fit_loop"]
        self._saved_step = step if trainer.strategy.broadcast(self.file(step).is_file()) else 0
        batches = step * trainer.accumulate_grad_batches
        counts = {"ready": batches, "started": batches, "processed": batches, "completed": batches - 1}
        epoch = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
        fit_loop["epoch_progress"] = {"total": epoch, "current": epoch}
        fit_loop["epoch_loop.batch_progress"] = {"total": counts, "current": counts, "is_last_batch": False}
        fit_loop["epoch_loop.state_dict"] = {"_batches_that_stepped": step - 1}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look which pictures are trained on."""
        self._data = trainer.datamodule.trained_on  # type: ignore[attr-defined]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time; between optimiser steps (accumulation) nothing happens."""
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last step, whatever ends training; in `on_train_end`, the weights may be averages."""
        self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save on SIGTERM, which Lightning heeds between two steps; in a validation, the weights may be averages."""
        told = isinstance(exception, SIGTERMException) or trainer.received_sigterm  # what fails then is others' ending
        if told and not trainer.validating:
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        if step == self._saved_step:
            return
        self._saved_step = step
        trainer.save_checkpoint(self.file(step))
        if trainer.is_global_zero:
            for old in sorted(self.folder.glob("step_*.ckpt"))[: -self.keep]:
                old.unlink()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the run's identity, which pictures and blur it was trained on and in which precision."""
        source = trainer.datamodule.source  # type: ignore[attr-defined]
        facts = {"run_id": self.run_id, "dataset": source.name, "blur_folder": source.blur_folder}
        checkpoint.setdefault("deblurzoo", {}).update(facts, precision=trainer.precision, data=self._data)
