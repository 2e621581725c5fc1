"""Errors that end training, told by their causes, and reasons why training ends before its last step."""

import errno
import traceback
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, Timer
from torch.distributed import DistError

from deblurzoo.data.batches import reader_failure
from deblurzoo.errors import DeblurzooError, first_line


def cause(error: Exception, trainer: pl.Trainer, start: Path | None) -> BaseException | None:
    """Return what to raise for an error that only shows what has happened elsewhere; None for any other.

    Args:
        error: what `trainer.fit` has raised.
        trainer: it.
        start: the checkpoint that training started from.
    """
    if isinstance(error, DeblurzooError):
        return None
    if trainer.received_sigterm:  # which ends the processes that compile or read frames, too
        return SystemExit(1)
    if failure := reader_failure(error):
        return failure
    if trainer.world_size > 1 and (isinstance(error, DistError) or "gloo" in str(error)):
        return DeblurzooError(
            f"another process of this run has ended ({first_line(error)}): see what it says; resume=auto goes on "
            "from the last checkpoint"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DeblurzooError(f"{error}: free space or choose another folder; resume=auto goes on")
    if trainer.train_dataloader is None:
        step = f"go on from {start}" if start else "begin"
        remedy = "the checkpoint is damaged or the settings are wrong" if start else "the settings are wrong"
        return DeblurzooError(f"training cannot {step} ({error!r}): if that says nothing else, {remedy}")
    failed_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if failed_in.is_relative_to(Path(torch.optim.__file__).parent):
        return DeblurzooError(
            f"the optimiser cannot take a step ({error!r}): set model.optimizer as it was when the run began, or, for "
            "a new run, choose another one"
        )
    return None


def reason_to_stop(trainer: pl.Trainer) -> str:
    """Return what has ended training before its last step."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and (left := callback.time_remaining()) is not None and left <= 0:
            return "its time is over"
        if isinstance(callback, EarlyStopping) and callback.stopping_reason_message:
            return f"EarlyStopping on {callback.monitor}"
    return "a callback stopped it"
