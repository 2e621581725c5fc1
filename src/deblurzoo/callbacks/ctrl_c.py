"""Ctrl-C during training."""

import signal
import threading
from types import FrameType
from typing import Any

import pytorch_lightning as pl


class CtrlC(pl.Callback):
    """Callback that ends training on Ctrl-C as on SIGTERM: after the current step, with a checkpoint.

    A second Ctrl-C ends training immediately. With several processes, the first one stops the others.

    Attributes:
        arrived: whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.arrived = False
        self._before: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace Python's handler, unless the process ignores Ctrl-C, as in the background of a script."""
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if usual and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._stop if trainer.is_global_zero else signal.SIG_IGN)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.arrived = True
        self._restore()
        signal.raise_signal(signal.SIGTERM)

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore Python's handler."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore Python's handler."""
        self._restore()
