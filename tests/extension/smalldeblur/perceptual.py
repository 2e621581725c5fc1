"""A measure with weights, which stands in for those of pyiqa."""

import hashlib
from functools import cache
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deblurzoo.metrics import Metric


@cache
def network() -> nn.Module:
    """Return the network, whose weights are always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)).eval()


def distance(image: NDArray[np.uint8], sharp: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference of the features of two images, uint8 (H, W, 3)."""
    first, second = (torch.tensor(one).permute(2, 0, 1)[None] / 255 for one in (image, sharp))
    with torch.inference_mode():
        return float((network()(first) - network()(second)).abs().mean())


def origin() -> str:
    """Return the version of the package and the hash of the weights."""
    weights = b"".join(one.numpy().tobytes() for one in network().state_dict().values())
    return f"smalldeblur {version('smalldeblur')}, weights {hashlib.sha256(weights).hexdigest()}"


METRICS = {"features": Metric("feature distance", 4, "", False, distance, version=origin)}
