"""Artificial weights of the authors' networks by a formula, in the layout of the authors' files and in ours.

`expected.npz` contains the results of the authors' graphs with these weights: SRN's TensorFlow graph, and the Caffe
networks of SVRNN, FlowRNN and Liu et al., evaluated in float64 by an interpreter of their prototxts. The crops are the
bottom right corners.
"""

from collections.abc import Sequence
from functools import cache
from math import prod, sqrt
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from deblurzoo.nets.base import DeblurNet

N = TypeVar("N", bound=DeblurNet)
State = dict[str, Tensor]
PERIOD = 4093
"""A prime number: no two outputs, inputs or kernel positions of a layer have the same weights."""
PATTERN = (2 * np.floor(32 * np.random.RandomState(0).standard_normal(PERIOD)) + 3) / 64
EXPECTED = Path(__file__).with_name("expected.npz")


def expected(*names: str) -> list[Tensor]:
    """Return recorded arrays as tensors. Images are float32 (…, 3, H, W) in [0, 1]."""
    with np.load(EXPECTED) as arrays:
        found = [torch.from_numpy(arrays[name]) for name in names]
    return [array.movedim(-1, -3) / 255 if array.dtype == torch.uint8 else array for array in found]


def corner(image: Tensor, crop: Tensor) -> Tensor:
    """Return the bottom right corner of an image, of the size of a recorded crop."""
    return image[..., -crop.shape[-2] :, -crop.shape[-1] :]


def built(kind: type[N], state: State, **arguments: object) -> N:
    """Return a network for inference that has the given weights."""
    with torch.device("meta"):
        net = kind(**arguments)
    net.load_state_dict(state, assign=True)
    return net.eval()


def formula(n: int, shape: Sequence[int], scale: float, shift: float = 0.0) -> Tensor:
    """Return tensor number `n` of an authors' file."""
    k = np.arange(prod(shape), dtype=np.int64)
    index = (k % PERIOD * (1 + 37 * n % (PERIOD - 1)) + 613 * n % PERIOD) % PERIOD
    return torch.from_numpy((shift + scale * PATTERN[index]).astype(np.float32).reshape(shape))


# SRN-DeblurNet: layers in the order of the graph.


@cache
def srn(channels: int, lstm: bool) -> State:
    """Return the weights of SRN-DeblurNet. TensorFlow's kernels are (rows, columns, inputs, outputs)."""
    state: State = {}

    def add(name: str, size: int, inputs: int, outputs: int, gain: float, shift: float = 0.0) -> None:
        n, deconv = len(state), size == 4
        shape = (size, size, outputs, inputs) if deconv else (size, size, inputs, outputs)
        weight = formula(n, shape, gain / sqrt((4 if deconv else size**2) * inputs))
        state[f"at_scale.0.{name}.weight"] = weight.permute(3, 2, 0, 1).contiguous()
        state[f"at_scale.0.{name}.bias"] = formula(n + 1, (outputs,), 0.05, shift)

    def pairs(stage: str, first: int, width: int) -> None:
        for number in range(first, first + 3):
            add(f"{stage}.{number}.body.0", 5, width, width, 1.4)
            add(f"{stage}.{number}.body.2", 5, width, width, 0.5)

    inputs = 2 * channels
    for stage, width in (("in_block", 32), ("encoder1", 64), ("encoder2", 128)):
        add(f"{stage}.0", 5, inputs, width, 1.4)
        pairs(stage, 2, width)
        inputs = width
    if lstm:
        add("bottleneck.gates", 3, 256, 512, 4)
    for stage, width in (("decoder2", 128), ("decoder1", 64)):
        pairs(stage, 0, width)
        add(f"{stage}.3", 4, width, width // 2, 1)
    pairs("out_block", 0, 32)
    gain, shift = (0.6, 0.2) if lstm else (0.15, 0.5 if channels == 3 else -0.2)
    add("out_block.3", 5, 32, channels, gain, shift)
    return state
