"""The convolutional LSTM cell of SRN-DeblurNet."""

import torch
from torch import Tensor, nn

from deblurzoo.nets.blocks import conv

State = tuple[Tensor, Tensor]


class ConvLSTM(nn.Module):
    """One step of a convolutional LSTM without peepholes.

    One 3x3 convolution of [x, h] gives the gates in the order i, j, f, o. The forget gate has a constant bias
    of +1, which is not a parameter. Source: SRN-Deblur, `util/BasicConvLSTMCell.py`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = conv(2 * channels, 4 * channels, kernel_size=3)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Map x (B, C, h, w) and the state (c, h), each (B, C, h, w), to the output and the new state.

        `state=None` is the all-zero state of the first step.
        """
        c, h = state if state is not None else (torch.zeros_like(x), torch.zeros_like(x))
        i, j, f, o = self.gates(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        c = c * torch.sigmoid(f + 1.0) + torch.sigmoid(i) * torch.tanh(j)
        h = torch.tanh(c) * torch.sigmoid(o)
        return h, (c, h)
