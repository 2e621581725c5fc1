"""Lightning callbacks: checkpoints, progress, pictures and results."""

from deblurzoo.callbacks.checkpoints import BEST, AtomicCheckpointIO, StepCheckpoints
from deblurzoo.callbacks.compute import Compute
from deblurzoo.callbacks.ctrl_c import CtrlC
from deblurzoo.callbacks.internals import InsidePictures
from deblurzoo.callbacks.pictures import RestoredPictures
from deblurzoo.callbacks.progress import StepProgress, StepStatus
from deblurzoo.callbacks.results import ResultsWriter
from deblurzoo.callbacks.slurm import SlurmRequeue, slurm_plugins

__all__ = [
    "BEST",
    "AtomicCheckpointIO",
    "Compute",
    "CtrlC",
    "InsidePictures",
    "RestoredPictures",
    "ResultsWriter",
    "SlurmRequeue",
    "StepCheckpoints",
    "StepProgress",
    "StepStatus",
    "slurm_plugins",
]
