"""Lightning callbacks: checkpoints, progress, pictures and results."""

from deblurzoo.callbacks.checkpoints import AtomicCheckpointIO, StepCheckpoints
from deblurzoo.callbacks.internals import InsidePictures
from deblurzoo.callbacks.pictures import RestoredPictures
from deblurzoo.callbacks.progress import StepProgress, StepStatus
from deblurzoo.callbacks.results import ResultsWriter
from deblurzoo.callbacks.slurm import SlurmRequeue, slurm_plugins

__all__ = [
    "AtomicCheckpointIO",
    "InsidePictures",
    "RestoredPictures",
    "ResultsWriter",
    "SlurmRequeue",
    "StepCheckpoints",
    "StepProgress",
    "StepStatus",
    "slurm_plugins",
]
