"""Causes of errors that end training, and reasons why training ended before its last step."""

import errno
import traceback
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, Timer
from torch.distributed import DistError

from deblurzoo.data.batches import reader_failure
from deblurzoo.errors import DeblurzooError, first_line, lacks_memory


def cause(error: Exception, trainer: pl.Trainer, start: Path | None) -> BaseException | None:
    """Return a clearer error to raise in place of `error`, or None if `error` itself should be raised.

    Args:
        error: exception raised by `trainer.fit`.
        trainer: trainer that raised `error`.
        start: checkpoint that training resumed from, if any.
    """
    if isinstance(error, DeblurzooError) or lacks_memory(error):
        return None
    if trainer.received_sigterm:  # SIGTERM also ends workers and compile processes, which then raise
        return SystemExit(1)
    if failure := reader_failure(error):
        return failure
    if trainer.world_size > 1 and (isinstance(error, DistError) or "gloo" in str(error)):
        return DeblurzooError(
            f"another process of this run has ended ({first_line(error)}): see the error message of that process; "
            "resume=auto continues from the last checkpoint"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DeblurzooError(f"{error}: free disk space or choose another folder; resume=auto continues the run")
    if trainer.train_dataloader is None:
        step = f"resume from {start}" if start else "start"
        remedy = "the checkpoint is corrupt or the config is wrong" if start else "the config is wrong"
        return DeblurzooError(f"training cannot {step} ({error!r}): {remedy}, unless this error states another cause")
    failed_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if failed_in.is_relative_to(Path(torch.optim.__file__).parent):
        return DeblurzooError(
            f"the optimiser step failed ({error!r}): to resume, restore the run's original model.optimizer; for a new "
            "run, choose a different optimiser"
        )
    return None


def reason_to_stop(trainer: pl.Trainer) -> str:
    """Return the reason why training ended before its last step."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and (left := callback.time_remaining()) is not None and left <= 0:
            return "time limit reached"
        if isinstance(callback, EarlyStopping) and callback.stopping_reason_message:
            return f"EarlyStopping on {callback.monitor}"
    return "stopped by a callback"
