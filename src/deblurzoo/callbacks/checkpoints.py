"""Atomic checkpoints at regular steps."""

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
    """Checkpoint IO that writes to a temporary file next to the target and then renames it.

    Lightning's own IO uses the system's temporary folder instead.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write one checkpoint, serialised in memory first, because torch's file writer hides disk-full errors."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getbuffer())


class StepCheckpoints(Checkpoint):
    """Callback that saves `checkpoints/step_NNNNNNNN.ckpt` every `every` steps, after the last step, and on SIGTERM.

    A checkpoint has the state at the end of a step. With gradient accumulation, a checkpoint saved between two batches
    of the next step has no gradients, and resuming restarts at the first batch of that step.

    No best checkpoint is selected: the papers report the last one, and validation images belong to the test split.

    Args:
        run: the run folder.
        every: number of optimiser steps between two checkpoints.
        keep: number of newest checkpoints to keep.
        run_id: id of the run for loggers, stored in every checkpoint.

    Attributes:
        saved_step: step of the newest checkpoint, or 0.
    """

    def __init__(self, run: str, every: PositiveInt, keep: PositiveInt, run_id: str) -> None:
        self.folder = Path(run) / "checkpoints"
        self.every, self.keep, self.run_id = every, keep, run_id
        self.saved_step = 0

    def file(self, step: int) -> Path:
        """Return the path of a step's checkpoint."""
        return self.folder / f"step_{step:08d}.ckpt"

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Set Lightning's batch and epoch counters to the end of the checkpoint's step."""
        step, fit_loop = checkpoint["global_step"], checkpoint["loops"]["fit_loop"]
        self.saved_step = step if trainer.strategy.broadcast(self.file(step).is_file()) else 0
        batches = step * trainer.accumulate_grad_batches
        counts = {"ready": batches, "started": batches, "processed": batches, "completed": batches - 1}
        epoch = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
        fit_loop["epoch_progress"] = {"total": epoch, "current": epoch}
        fit_loop["epoch_loop.batch_progress"] = {"total": counts, "current": counts, "is_last_batch": False}
        fit_loop["epoch_loop.state_dict"] = {"_batches_that_stepped": step - 1}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Store the identity of the training images for the checkpoints."""
        self._data = trainer.datamodule.trained_on  # type: ignore[attr-defined]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save every `every` steps and after the last step, once per optimiser step."""
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last step, even if training ends early; in `on_train_end`, the weights may be EMA averages."""
        self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save on SIGTERM, which Lightning handles between steps; skip in validation, where weights may be averages."""
        told = isinstance(exception, SIGTERMException) or trainer.received_sigterm  # later errors follow from SIGTERM
        if told and not trainer.validating:
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        if step == self.saved_step:
            return
        self.saved_step = step
        trainer.save_checkpoint(self.file(step))
        if trainer.is_global_zero:
            for old in sorted(self.folder.glob("step_*.ckpt"))[: -self.keep]:
                old.unlink()
        for logger in trainer.loggers:
            logger.after_save_checkpoint(self)  # type: ignore[arg-type]  # none requires Lightning's own callback

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the run id, data set, blur, training images and precision in the checkpoint."""
        source = trainer.datamodule.source  # type: ignore[attr-defined]
        facts = {"run_id": self.run_id, "dataset": source.name, "blur_folder": source.blur_folder}
        checkpoint.setdefault("deblurzoo", {}).update(facts, precision=trainer.precision, data=self._data)
