"""Recurrent cells that carry state from scale to scale in SRN-DeblurNet and its ablations.

A cell maps features (B, C, h, w) and a state to features for the decoder and a new state. A state is a tuple of tensors
(B, C, h, w); it is empty before the first scale.
"""

import torch
from torch import Tensor, nn

from deblurzoo.nets.blocks import conv

State = tuple[Tensor, ...]


class ConvLSTM(nn.Module):
    """Convolutional LSTM cell without peepholes; its state is (c, h), initially zero.

    One 3x3 convolution of [x, h] computes the gates in the order i, j, f, o. The forget gate has a constant bias
    of +1, which is not a parameter. Reference: SRN-Deblur, `util/BasicConvLSTMCell.py`.
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
    """Simple recurrent cell of the paper's Table 1: `h = tanh(W_x x + W_h h)`, with output `relu(W_o h)`.

    The paper does not describe this cell. Three 3x3 convolutions match its parameter count; the activations are our
    choice.
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
    """Stateless layer with the interface of a recurrent cell."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the output of the layer and an empty state."""
        return self.layer(x), ()
