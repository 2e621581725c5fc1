"""SRN-DeblurNet: Tao et al., "Scale-recurrent Network for Deep Image Deblurring", CVPR 2018."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.batch import Restored
from deblurzoo.nets.base import DeblurNet
from deblurzoo.nets.blocks import SameConv2d, conv, deconv
from deblurzoo.nets.conv_lstm import ConvLSTM, ConvRNN, NoMemory, State

Padding = Literal["symmetric", "same"]
Resize = Literal["half_pixel", "tf1"]
Bottleneck = Literal["conv_lstm", "rnn", "conv", "none"]
Body = Literal["encoder_decoder", "flat"]
Block = Literal["residual", "plain"]


class ConvPair(nn.Module):
    """Two convolutions without normalisation: `x + conv(relu(conv(x)))`, or `relu(conv(relu(conv(x))))` for `plain`."""

    def __init__(self, channels: int, kernel_size: int, block: Block) -> None:
        super().__init__()
        self.residual = block == "residual"
        self.body = nn.Sequential(
            conv(channels, channels, kernel_size), nn.ReLU(inplace=True), conv(channels, channels, kernel_size)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        pair: Tensor = self.body(x)
        return x + pair if self.residual else F.relu(pair)


class OneScale(nn.Module):
    """Network of one scale: encoder, bottleneck and decoder. If `flat`, it has full resolution and no skip connections.

    Args:
        channels: number of image channels.
        widths: channel numbers at full, half and quarter resolution.
        kernel_size, blocks, bottleneck, body, block, padding: see `SRN`.
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, int, int],
        kernel_size: int,
        blocks: int,
        bottleneck: Bottleneck,
        body: Body,
        block: Block,
        padding: Padding,
    ) -> None:
        super().__init__()
        k, (c1, c2, c3) = kernel_size, widths
        self.flat = body == "flat"

        def pairs(width: int) -> list[nn.Module]:
            return [ConvPair(width, k, block) for _ in range(blocks)]

        def relu() -> nn.Module:
            return nn.ReLU(inplace=True)

        def down(inputs: int, outputs: int) -> nn.Module:
            if padding == "same" and not self.flat:
                return SameConv2d(inputs, outputs, k)
            return conv(inputs, outputs, k, stride=1 if self.flat else 2)

        def up(inputs: int, outputs: int) -> nn.Module:
            return conv(inputs, outputs, k) if self.flat else deconv(inputs, outputs)

        self.in_block = nn.Sequential(conv(2 * channels, c1, k), relu(), *pairs(c1))  # (B, 32, H, W)
        self.encoder1 = nn.Sequential(down(c1, c2), relu(), *pairs(c2))  # (B, 64, H/2, W/2)
        self.encoder2 = nn.Sequential(down(c2, c3), relu(), *pairs(c3))  # (B, 128, H/4, W/4)
        self.bottleneck = _bottleneck(bottleneck, c3)  # (B, 128, H/4, W/4)
        self.decoder2 = nn.Sequential(*pairs(c3), up(c3, c2), relu())  # (B, 64, H/2, W/2)
        self.decoder1 = nn.Sequential(*pairs(c2), up(c2, c1), relu())  # (B, 32, H, W)
        self.out_block = nn.Sequential(*pairs(c1), conv(c1, channels, k))  # (B, 3, H, W)

    def forward(self, blurry: Tensor, coarse: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the result and the new state for the blurry image and the coarser prediction, both (B, C, h, w)."""
        e0 = self.in_block(torch.cat([blurry, coarse], dim=1))
        e1 = self.encoder1(e0)
        g, state = self.bottleneck(self.encoder2(e1), state)
        d1 = self.decoder2(g)
        d0 = self.decoder1(d1 if self.flat else d1 + e1)
        return self.out_block(d0 if self.flat else d0 + e0), state


def _bottleneck(name: Bottleneck, channels: int) -> nn.Module:
    if name == "conv_lstm":
        return ConvLSTM(channels)
    if name == "rnn":
        return ConvRNN(channels)
    return NoMemory(nn.Sequential(conv(channels, channels, 3), nn.ReLU()) if name == "conv" else nn.Identity())


class SRN(DeblurNet):
    """Encoder-decoder with a ConvLSTM, applied to three scales from coarse to fine with shared weights.

    Reference: section 3.2 of the paper; `models/model.py` of github.com/jiangsutx/SRN-Deblur. If paper and code
    disagree, this class follows the code. In the paper, all kernels are 5x5; in the code, transposed convolutions have
    4x4 kernels and the ConvLSTM has 3x3 kernels. The parameter counts of Table 1 also match only the kernel sizes of
    the code. The default arguments give the full network. The networks of Table 1 have 3x3 kernels: `kernel_size=3`
    with all other arguments at their default gives SR-EDRB3.

    The authors' released networks are the full network with `resize=tf1`, `padding=same` and, depending on the network,
    `channels=1` (`lstm`), `channels=1, bottleneck=none` (`gray`) or `bottleneck=none` (`color`). Their code cannot
    build the network of the paper's figure, with RGB images and a ConvLSTM.

    Args:
        kernel_size: odd kernel size of every convolution outside the bottleneck, except transposed convolutions.
        blocks: number of convolution pairs in each of the six stages (n in Table 1).
        width: multiplier of the number of channels (32, 64 and 128).
        residual: whether to predict the difference from the blurry image (not in the paper). Training then starts from
            the identity, because the last convolution is initialised to zero. This helps small networks with a small
            training budget.
        resize: `half_pixel` is torch's bilinear interpolation. `tf1` is the interpolation of TensorFlow 1: output
            pixel i is sampled at input position i * (input size / output size). For downsampling, this selects every
            second or fourth pixel.
        padding: of the convolutions with stride 2. `symmetric` is torch's, `same` is TensorFlow's, see `SameConv2d`.
        bottleneck: `conv_lstm`; `rnn`, a simple recurrent cell; `conv`, a 3x3 convolution; or `none`. `conv` and
            `none` pass no state from scale to scale.
        body: `encoder_decoder`, or `flat`, with all strides 1 and without skip connections between encoder and decoder
            (SR-Flat and SR-RB in Table 1).
        block: `residual`, or `plain`, with convolution pairs without identity connection (SR-Flat and SR-ED).
        scales: 3, or 1 for full resolution only (SS).
        shared: whether all scales share one set of weights; otherwise, each scale has a separate set (SC).
        channels: 3, or 1 to restore R, G and B independently, as in the authors' `gray` and `lstm` models.
    """

    frames = 1
    size_multiple = 16

    def __init__(
        self,
        kernel_size: int = 5,
        blocks: int = 3,
        width: float = 1.0,
        residual: bool = False,
        resize: Resize = "half_pixel",
        bottleneck: Bottleneck = "conv_lstm",
        body: Body = "encoder_decoder",
        block: Block = "residual",
        scales: Literal[1, 3] = 3,
        shared: bool = True,
        channels: Literal[1, 3] = 3,
        padding: Padding = "symmetric",
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={kernel_size} must be odd")
        if blocks < 1 or width <= 0:
            raise ValueError(f"blocks={blocks} and width={width} must be above 0")
        self.residual, self.resize_mode, self.channels = residual, resize, channels
        self.scales = (4, 2, 1) if scales == 3 else (1,)
        c1, c2, c3 = (max(1, round(c * width)) for c in (32, 64, 128))
        self.at_scale = nn.ModuleList(
            OneScale(channels, (c1, c2, c3), kernel_size, blocks, bottleneck, body, block, padding)
            for _ in range(1 if shared else scales)
        )
        self._initialise()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.1 to 1.2 times as fast on a CPU

    def _initialise(self) -> None:
        """Initialise weights like the code: Xavier, but near zero in the ConvLSTM. Biases are zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for network in self.at_scale:
            if isinstance(network.bottleneck, ConvLSTM):
                nn.init.trunc_normal_(network.bottleneck.gates.weight, std=1e-3, a=-2e-3, b=2e-3)
            if self.residual:
                nn.init.zeros_(network.out_block[-1].weight)  # type: ignore[index,union-attr]

    def recurrent_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the recurrent cells; empty if the bottleneck is stateless."""
        return [
            parameter
            for network in self.at_scale
            if isinstance(network.bottleneck, ConvLSTM | ConvRNN)
            for parameter in network.bottleneck.parameters()
        ]

    def resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize (B, C, H, W) to `size`: down by an integer factor, or up by a factor of two."""
        if self.resize_mode == "half_pixel":
            return F.interpolate(x, size, mode="bilinear", align_corners=False)
        if size <= (height := x.shape[-2], width := x.shape[-1]):
            return x[..., :: height // size[0], :: width // size[1]]
        # One replicated row and column turn corner-aligned sampling into sampling at i/2 with clamped edges.
        padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
        grown = F.interpolate(padded, (size[0] + 1, size[1] + 1), mode="bilinear", align_corners=True)
        return grown[..., : size[0], : size[1]]

    def forward(self, blur: Tensor) -> Restored:
        """Restore (B, 1, 3, H, W); H and W must be multiples of 16. The pyramid is ordered from coarse to fine.

        With `channels=1`, grayscale images (B, 1, 1, H, W) can also be restored.
        """
        height, width = blur.shape[-2:]
        image = blur[:, 0].reshape(-1, self.channels, height, width)  # (3B, 1, H, W) if channels=1
        # The coarsest scale reads the blurry image instead of a prediction. Predictions are detached between scales.
        prediction, pyramid = image, list[Tensor]()
        state: State = ()
        for number, scale in enumerate(self.scales):
            size = (height // scale, width // scale)
            state = tuple(self.resize(s, (2 * s.shape[-2], 2 * s.shape[-1])) for s in state)
            blurry, coarse = self.resize(image, size), self.resize(prediction, size).detach()
            prediction, state = self.at_scale[number % len(self.at_scale)](blurry, coarse, state)
            if self.residual:
                prediction = blurry + prediction
            pyramid.append(prediction.reshape(-1, blur.shape[2], *size))
        return Restored(image=pyramid[-1], pyramid=tuple(pyramid))
