"""Pictures of noise, and the names of results, for tests."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deblurzoo.restore.inputs import RECORD


def noise(seed: int = 0, size: tuple[int, int] = (40, 52)) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def save(path: Path, seed: int = 0, size: tuple[int, int] = (40, 52)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, size)).save(path)
    return path


def opened(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    """Return the results in a folder, without the record of their inputs."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != RECORD)
