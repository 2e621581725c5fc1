"""Lightning callbacks: checkpoints, progress, pictures and results."""

from deblurzoo.callbacks.checkpoints import AtomicCheckpointIO, StepCheckpoints
from deblurzoo.callbacks.inside import InsidePictures
from deblurzoo.callbacks.pictures import RestoredPictures
from deblurzoo.callbacks.progress import StepProgress
from deblurzoo.callbacks.results import ResultsWriter

__all__ = [
    "AtomicCheckpointIO",
    "InsidePictures",
    "RestoredPictures",
    "ResultsWriter",
    "StepCheckpoints",
    "StepProgress",
]
