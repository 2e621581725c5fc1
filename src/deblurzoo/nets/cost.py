"""Theoretical cost of networks."""

import copy
import math
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from deblurzoo.nets.base import DeblurNet, restore_any_size


def macs(net: DeblurNet, size: tuple[int, int]) -> int:
    """Return the multiply-adds for one image of `size`: convolutions, transposed convolutions and the spatial RNN.

    The image is padded to a size that the network supports. Activations and resizing are not counted. A copy of the
    network without data is run, on the meta device.
    """
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.deblurzoo.spatial_rnn: _recurrence_flops})
    on_paper = copy.deepcopy(net).to("meta")
    with counter, torch.no_grad():
        restore_any_size(on_paper, torch.empty(1, net.frames, 3, *size, device="meta"))
    return counter.get_total_flops() // 2


def _recurrence_flops(x: torch.Size, w: torch.Size, *_: Any, **__: Any) -> int:
    """Return the FLOPs of the spatial RNN: two products and two sums per result, `(1 - w) x + w h`."""
    return 4 * math.prod(w)
