"""The spatially variant RNN for export, by torch's scan operator, which ONNX keeps as a loop with dynamic sizes."""

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan  # not public yet; the only loop that ONNX export does not unroll


def _step(h: Tensor, x_and_w: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    x, w = x_and_w
    h = x + w * (h - x)
    return h, h.clone()  # scan rejects results that share memory


def _down(x: Tensor, w: Tensor) -> Tensor:
    """Return the result (B, C, H, W) of the recurrence from the first row to the last row."""
    # Not `zeros_like`: it copies the strides of its argument, but `scan` requires the strides of the output.
    _, h = scan(_step, x.new_zeros(x[:, :, 0].shape), (x.movedim(2, 0), w.movedim(2, 0)))
    down: Tensor = h.movedim(0, 2)
    return down


def forward(x: Tensor, w: Tensor) -> Tensor:
    """Return the results of the four directions, (B, 4C, H, W); differentiable by torch."""
    right, left, down, up = w.chunk(4, dim=1)
    return torch.cat(
        [
            _down(x.mT, right.mT).mT,
            _down(x.mT.flip(2), left.mT.flip(2)).flip(2).mT,
            _down(x, down),
            _down(x.flip(2), up.flip(2)).flip(2),
        ],
        dim=1,
    )
