"""Known motion of samples: true flow, and the blur length of tiles."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurzoo.data.clips import Sample
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.media import Image
from deblurzoo.metrics.tiles import tile_grid, tile_means
from deblurzoo.synthesis.interpolation import LARGEST_MOTION, flow_between


def read_motion(file: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the motion in a .npy file as float32.

    Raises:
        DeblurzooError: the file is corrupt or has a different shape.
    """
    try:
        values: NDArray[np.float32] = np.load(file).astype(np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise DeblurzooError(f"{file} cannot be read ({first_line(error)}): remove or replace it") from error
    if values.shape != shape:
        expected = f"({', '.join(map(str, shape))})"
        raise DeblurzooError(f"{file} has shape {values.shape}, not {expected}: remove it")
    if not np.isfinite(values).all():
        raise DeblurzooError(f"{file} has values that are not finite: remove or replace it")
    return values


def tile_lengths(sample: Sample, sharp: Image) -> NDArray[Any] | None:
    """Return the mean blur length of each whole tile of a sample in pixels, (rows, columns); None if it is unknown.

    The length is that of the simulated path, if it is stored. Otherwise it is the motion per frame interval: the mean
    length of the optical flow to the next and to the previous sharp frame, or to the only one of them that exists.

    Args:
        sample: the sample.
        sharp: the sharp image of the sample.

    Raises:
        DeblurzooError: a file is corrupt.
    """
    rows, columns = tile_grid(*sharp.shape[:2])
    if not rows * columns:
        return None
    if sample.length:
        return read_motion(sample.length, (rows, columns)).clip(0)
    motions = [_motion(sharp, other) for frame in sample.neighbours if (other := frame.read()).shape == sharp.shape]
    if not motions or any(motion is None for motion in motions):
        return None
    return np.asarray(np.mean([tile_means(motion) for motion in motions if motion is not None], axis=0))


def _motion(first: Image, second: Image) -> NDArray[Any] | None:
    """Return the length (H, W) of the flow between two frames; None if it is too large to be reliable."""
    length = np.linalg.norm(flow_between(first, second), axis=2)
    return length if np.percentile(length, 95) <= LARGEST_MOTION * max(length.shape) else None
