"""Data sets of photos, and their training crops, for tests."""

from pathlib import Path
from typing import Any

import torch

from deblurzoo.batch import Batch
from deblurzoo.data import Photos
from deblurzoo.data.datamodule import TrainingCrops
from deblurzoo.data.transforms import Augmentation

SMALL = Augmentation(crop=32, zoom=(0.5, 1.0), rot90=True, permute_channels=True)


def source(photos: Path, **options: Any) -> Photos:
    arguments: dict[str, Any] = {"root": str(photos), "length": (3, 8), "cache": str(photos.parent / "cache")}
    return Photos(**{**arguments, **options})


def crops(photos: Path, frames: int = 1, **options: Any) -> TrainingCrops:
    return TrainingCrops(source(photos, **options).samples("train", frames), SMALL, seed=0)


def parameters(batch: Batch) -> list[Any]:
    assert batch.unrendered
    return [part.numpy().tobytes() if isinstance(part, torch.Tensor) else part for part in batch.unrendered]
