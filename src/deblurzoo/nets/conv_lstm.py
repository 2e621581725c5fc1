"""What SRN-DeblurNet and its ablations remember from one scale to the next.

A cell maps features (B, C, h, w) and its state to features for the decoder and the new state. A state is a tuple of
(B, C, h, w), empty before the first scale.
"""

import torch
from torch import Tensor, nn

from deblurzoo.nets.blocks import conv

State = tuple[Tensor, ...]


class ConvLSTM(nn.Module):
    """One step of a convolutional LSTM without peepholes; its state is (c, h), zero at first.

    One 3x3 convolution of [x, h] gives the gates in the order i, j, f, o. The forget gate has a constant bias
    of +1, which is not a parameter. Source: SRN-Deblur, `util/BasicConvLSTMCell.py`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = conv(2 * channels, 4 * channels, kernel_size=3)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the output h and the state (c, h)."""
        c, h = state or (torch.zeros_like(x), torch.zeros_like(x))
        i, j, f, o = self.gates(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        c = c * torch.sigmoid(f + 1.0) + torch.sigmoid(i) * torch.tanh(j)
        h = torch.tanh(c) * torch.sigmoid(o)
        return h, (c, h)


class ConvRNN(nn.Module):
    """The plain recurrent cell of Table 1: `h = tanh(W_x x + W_h h)`, and `relu(W_o h)` for the decoder.

    The paper does not describe it: three 3x3 convolutions give its parameter count, the activations are ours.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.from_input, self.from_state, self.output = (conv(channels, channels, 3) for _ in range(3))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the output and the state (h,)."""
        (h,) = state or (torch.zeros_like(x),)
        h = torch.tanh(self.from_input(x) + self.from_state(h))
        return torch.relu(self.output(h)), (h,)


class NoMemory(nn.Module):
    """A layer in the place of a cell, with an empty state."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what the layer makes of x."""
        return self.layer(x), ()
