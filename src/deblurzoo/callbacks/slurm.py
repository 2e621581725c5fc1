"""Jobs of Slurm: what happens when their time is up."""

import os
import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from deblurzoo.errors import DeblurzooError


def slurm_plugins() -> list[SLURMEnvironment]:
    """Return what keeps Lightning from requeueing tasks of `srun` itself, with checkpoints of its own.

    Raises:
        DeblurzooError: the tasks were asked for in a way that Lightning does not know.
    """
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    try:
        return [SLURMEnvironment(auto_requeue=False)]
    except RuntimeError as error:
        raise DeblurzooError(str(error)) from error


class SlurmRequeue(pl.Callback):
    """Lets submitit requeue a job only when the step is done, a checkpoint is saved and everything is closed.

    submitit requeues at once when Slurm signals that the time is nearly up or the job is preempted, wherever training
    is. While training runs, the signal ends it as SIGTERM does: between two steps, with a checkpoint.
    """

    def __init__(self) -> None:
        self._submitit: Any = None
        self._arrived = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take submitit's signal; until now there was nothing to save."""
        if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
            self._submitit = signal.signal(self._number(), self._stop)

    @staticmethod
    def _number() -> signal.Signals:
        return signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._arrived = True
        signal.raise_signal(signal.SIGTERM)

    def hand_on(self) -> None:
        """Give the signal back to submitit, and if it has arrived, let submitit requeue the job and end the process."""
        if self._submitit is not None:
            signal.signal(self._number(), self._submitit)
        if self._arrived:
            signal.raise_signal(self._number())
