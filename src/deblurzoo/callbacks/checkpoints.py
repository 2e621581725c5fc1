"""Atomic checkpoints at regular steps."""

import io
import logging
import math
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pydantic import PositiveInt
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.exceptions import SIGTERMException

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import write_atomically
from deblurzoo.training.checkpoints import read_checkpoint
from deblurzoo.training.module import DeblurModule

log = logging.getLogger(__name__)

BEST = "best.ckpt"
"""File name of the checkpoint with the best value of a validation metric; it is kept only on request."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint IO that writes to a temporary file next to the target and then renames it.

    Lightning's own IO uses the system's temporary folder instead.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write one checkpoint. It is serialised in memory first: torch's file writer hides disk-full errors."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getbuffer())


class StepCheckpoints(Checkpoint):
    """Callback that saves `checkpoints/step_NNNNNNNN.ckpt` every `every` steps, after the last step, and on SIGTERM.

    A checkpoint has the state at the end of a step. With gradient accumulation, a checkpoint that is saved between two
    batches of the next step has no gradients, and resuming restarts at the first batch of the next step.

    By default, no best checkpoint is kept: the papers report the last one, and validation frames belong to the test
    split.

    Args:
        run: the run folder.
        every: number of optimiser steps between two checkpoints.
        keep: number of newest checkpoints to keep.
        run_id: id of the run for loggers, stored in every checkpoint.
        monitor: a validation metric, such as `val/psnr`, whose best checkpoint is kept as `checkpoints/best.ckpt`.

    Attributes:
        saved_step: step of the newest checkpoint in the run folder; 0 if none was saved.
    """

    def __init__(
        self, run: str, every: PositiveInt, keep: PositiveInt, run_id: str, monitor: str | None = None
    ) -> None:
        self.folder = Path(run) / "checkpoints"
        self.every, self.keep, self.run_id, self.monitor = every, keep, run_id, monitor
        self.saved_step = 0
        self._best: float | None = None

    def file(self, step: int) -> Path:
        """Return the path of a step's checkpoint."""
        return self.folder / f"step_{step:08d}.ckpt"

    def require_monitored(self, module: DeblurModule, first: int, last: int) -> None:
        """Raise a DeblurzooError if the monitored metric is unknown or never measured; warn that test frames choose.

        Args:
            module: the module to train.
            first: step of the first validation.
            last: last step of training.
        """
        if self.monitor is None:
            return
        key = f"callbacks.checkpoints.monitor={self.monitor}"
        if self.monitor not in module.validated:
            raise DeblurzooError(
                f"{key} is not measured: choose from {', '.join(module.validated)}, or add a metric with metrics=[NAME]"
            )
        if first > last:
            raise DeblurzooError(
                f"{key} is never measured: trainer.val_check_interval={first} is above trainer.max_steps={last}"
            )
        log.warning(
            "%s: test frames choose %s, as GOPRO and DVD have no validation split, so its test results are too good: "
            "report the last checkpoint",
            key,
            BEST,
        )

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Set Lightning's batch and epoch counters to the end of the checkpoint's step."""
        step, fit_loop = checkpoint["global_step"], checkpoint["loops"]["fit_loop"]
        self.saved_step = step if trainer.strategy.broadcast(self.file(step).is_file()) else 0
        self._best = trainer.strategy.broadcast(self._kept_best())
        batches = step * trainer.accumulate_grad_batches
        counts = {"ready": batches, "started": batches, "processed": batches, "completed": batches - 1}
        epoch = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
        fit_loop["epoch_progress"] = {"total": epoch, "current": epoch}
        fit_loop["epoch_loop.batch_progress"] = {"total": counts, "current": counts, "is_last_batch": False}
        fit_loop["epoch_loop.state_dict"] = {"_batches_that_stepped": step - 1}

    def _kept_best(self) -> float | None:
        """Return the monitored value of the folder's `best.ckpt`; None if missing, corrupt, or of another metric."""
        file = self.folder / BEST
        if self.monitor is None or not file.is_file():
            return None
        try:
            best = read_checkpoint(file)["deblurzoo"].get("best")
        except DeblurzooError as error:
            log.warning("%s. The next validation replaces it", error)
            return None
        value = best.get(self.monitor) if isinstance(best, dict) else None
        return value if isinstance(value, float) else None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read the place and fingerprint of the training images, which checkpoints record."""
        self._data = trainer.datamodule.trained_on  # type: ignore[attr-defined]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save a checkpoint every `every` steps and after the last step, but only once per optimiser step."""
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save `best.ckpt` if the monitored metric has its best value so far."""
        if self.monitor is None:
            return
        value = trainer.callback_metrics[self.monitor].item()
        sign = 1 if cast(DeblurModule, pl_module).validated[self.monitor] else -1
        if math.isfinite(value) and (self._best is None or sign * value > sign * self._best):
            self._best = value
            trainer.save_checkpoint(self.folder / BEST)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last step, even if training ends early. In `on_train_end`, weights may already be EMA averages."""
        self._save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save on SIGTERM (handled between steps), except in validation, when weights may be EMA averages."""
        told = isinstance(exception, SIGTERMException) or trainer.received_sigterm  # SIGTERM causes other errors
        if told and not trainer.validating:
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        step = trainer.global_step
        if step == self.saved_step:
            return
        self.saved_step = step
        trainer.save_checkpoint(self.file(step))
        self.saved_step = step
        if trainer.is_global_zero:
            for old in sorted(self.folder.glob("step_*.ckpt"))[: -self.keep]:
                old.unlink()
        for logger in trainer.loggers:
            logger.after_save_checkpoint(self)  # type: ignore[arg-type]  # none requires Lightning's own callback

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the run id, data set, blur, training images, precision, threads and best value in the checkpoint."""
        source = trainer.datamodule.source  # type: ignore[attr-defined]
        facts = {"run_id": self.run_id, "dataset": source.name, "blur_folder": source.blur_folder}
        facts |= {"precision": trainer.precision, "threads": torch.get_num_threads(), "data": self._data}
        checkpoint.setdefault("deblurzoo", {}).update(facts)
        if self._best is not None:
            checkpoint["deblurzoo"]["best"] = {self.monitor: self._best}
