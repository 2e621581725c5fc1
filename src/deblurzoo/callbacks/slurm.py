"""Requeueing of Slurm jobs at their time limit or on preemption."""

import os
import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from deblurzoo.errors import DeblurzooError


def slurm_plugins() -> list[SLURMEnvironment]:
    """Return, in a Slurm task, the plugin that disables Lightning's requeueing and extra checkpoints; otherwise [].

    Raises:
        DeblurzooError: Lightning does not support the Slurm options of this job.
    """
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    try:
        return [SLURMEnvironment(auto_requeue=False)]
    except RuntimeError as error:
        raise DeblurzooError(str(error)) from error


class SlurmRequeue(pl.Callback):
    """Callback that makes submitit requeue a job only after the current step, its checkpoint and logging.

    submitit requeues a job immediately when Slurm signals preemption or an approaching time limit. During training,
    this callback converts the signal to SIGTERM, which ends training after the current step, with a checkpoint.

    Attributes:
        arrived: whether Slurm's signal has arrived.
    """

    def __init__(self) -> None:
        self._submitit: Any = None
        self.arrived = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace submitit's signal handler; before training, nothing needs to be saved."""
        self.postpone()

    def postpone(self) -> None:
        """Convert the signal to SIGTERM until `hand_on`."""
        if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            self._submitit = signal.signal(self._number(), self._stop)

    @staticmethod
    def _number() -> signal.Signals:
        return signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.arrived = True
        signal.raise_signal(signal.SIGTERM)

    def hand_on(self) -> None:
        """Restore submitit's handler. If a signal arrived, raise it again, so that submitit requeues the job."""
        if self._submitit is not None:
            signal.signal(self._number(), self._submitit)
        if self.arrived:
            signal.raise_signal(self._number())
