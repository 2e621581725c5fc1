"""A loss and a metric on image gradients."""

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from deblurzoo.metrics import Metric


def edges(image: Tensor, sharp: Tensor) -> Tensor:
    """Return the mean absolute error of horizontal plus vertical differences of (B, 3, H, W)."""
    return F.l1_loss(image.diff(dim=3), sharp.diff(dim=3)) + F.l1_loss(image.diff(dim=2), sharp.diff(dim=2))


def edge_error(image: NDArray[np.uint8], sharp: NDArray[np.uint8]) -> float:
    """Return the mean absolute error of horizontal differences of uint8 (H, W, 3)."""
    error = np.diff(image.astype(np.int16), axis=1) - np.diff(sharp.astype(np.int16), axis=1)
    return float(np.abs(error).mean())


LOSSES = {"edges": edges}
METRICS = {"edge": Metric("edge error", digits=3, unit="", higher_is_better=False, function=edge_error)}
