"""SRN-DeblurNet: Tao et al., "Scale-recurrent Network for Deep Image Deblurring", CVPR 2018."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.batch import Restored
from deblurzoo.nets.blocks import ResBlock, conv, deconv
from deblurzoo.nets.conv_lstm import ConvLSTM, State

Resize = Literal["half_pixel", "tf1"]


class SRN(nn.Module):
    """One encoder-decoder with a ConvLSTM, applied to three scales from coarse to fine with shared weights.

    Paper section 3.2; code jiangsutx/SRN-Deblur, `models/model.py`. Where they differ: the paper says that all
    kernels are 5x5; the code's transposed convolutions are 4x4 and its ConvLSTM is 3x3, which is also what the
    parameter counts of Table 1 require. The code is followed. The defaults are the full network with
    8,061,411 parameters; `kernel_size=3` is SR-EDRB3 of Table 1 with 3,764,195.

    Args:
        kernel_size: of every convolution outside the ConvLSTM; odd.
        blocks: ResBlocks in each of the six stages (n of Table 1).
        width: multiplies the channel numbers 32, 64, 128.
        residual: predict the difference to the blurry image. Not in the paper: small networks on a small
            budget start from the identity (the last convolution starts at zero).
        resize: `half_pixel` is torch's bilinear interpolation; `tf1` is the original's, whose pixel i of the
            result lies at i times the ratio of the sizes: taking every second or fourth pixel on the way down.
    """

    frames = 1
    size_multiple = 16
    scales = (4, 2, 1)

    def __init__(
        self,
        kernel_size: int = 5,
        blocks: int = 3,
        width: float = 1.0,
        residual: bool = False,
        resize: Resize = "half_pixel",
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0 or blocks < 1 or width <= 0:
            raise ValueError(f"kernel_size={kernel_size} must be odd, blocks={blocks} and width={width} above 0")
        if resize not in ("half_pixel", "tf1"):
            raise ValueError(f"resize={resize!r} is unknown: choose half_pixel or tf1")
        self.residual = residual
        self.resize_mode = resize
        k = kernel_size
        c1, c2, c3 = (max(1, round(c * width)) for c in (32, 64, 128))

        def resblocks(channels: int) -> list[nn.Module]:
            return [ResBlock(channels, k) for _ in range(blocks)]

        def relu() -> nn.Module:
            return nn.ReLU(inplace=True)

        self.in_block = nn.Sequential(conv(6, c1, k), relu(), *resblocks(c1))  # (B, 32, H, W)
        self.encoder1 = nn.Sequential(conv(c1, c2, k, stride=2), relu(), *resblocks(c2))  # (B, 64, H/2, W/2)
        self.encoder2 = nn.Sequential(conv(c2, c3, k, stride=2), relu(), *resblocks(c3))  # (B, 128, H/4, W/4)
        self.lstm = ConvLSTM(c3)  # (B, 128, H/4, W/4)
        self.decoder2 = nn.Sequential(*resblocks(c3), deconv(c3, c2), relu())  # (B, 64, H/2, W/2)
        self.decoder1 = nn.Sequential(*resblocks(c2), deconv(c2, c1), relu())  # (B, 32, H, W)
        self.out_block = nn.Sequential(*resblocks(c1), conv(c1, 3, k))  # (B, 3, H, W)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier for all weights, zero biases; the ConvLSTM starts near zero as in the code."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.lstm.gates.weight, std=1e-3, a=-2e-3, b=2e-3)
        if self.residual:
            nn.init.zeros_(self.out_block[-1].weight)  # type: ignore[arg-type]

    def resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize (B, C, H, W) to `size`, down by a whole factor or up by two, as images and states all are."""
        if self.resize_mode == "half_pixel":
            return F.interpolate(x, size, mode="bilinear", align_corners=False)
        if size <= (height := x.shape[-2], width := x.shape[-1]):
            return x[..., :: height // size[0], :: width // size[1]]
        # One replicated row and column turn corner-aligned sampling into sampling at i/2 with clamped edges.
        padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
        grown = F.interpolate(padded, (size[0] + 1, size[1] + 1), mode="bilinear", align_corners=True)
        return grown[..., : size[0], : size[1]]

    def at_one_scale(self, blurry: Tensor, coarse: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Restore one scale from its blurry image and the coarser prediction, both (B, 3, h, w)."""
        e0 = self.in_block(torch.cat([blurry, coarse], dim=1))
        e1 = self.encoder1(e0)
        g, state = self.lstm(self.encoder2(e1), state)
        d1 = self.decoder2(g) + e1
        d0 = self.decoder1(d1) + e0
        prediction = self.out_block(d0)
        return (blurry + prediction if self.residual else prediction), state

    def forward(self, blur: Tensor) -> Restored:
        """Restore (B, 1, 3, H, W), H and W multiples of 16; the pyramid holds H/4, H/2 and H."""
        image = blur[:, 0]
        height, width = image.shape[-2:]
        # The first prediction is the blurry image itself; no gradient flows through predictions between scales.
        prediction, state = image, None
        pyramid: list[Tensor] = []
        for scale in self.scales:
            h, w = height // scale, width // scale
            if state is not None:
                state = (self.resize(state[0], (h // 4, w // 4)), self.resize(state[1], (h // 4, w // 4)))
            coarse = self.resize(prediction, (h, w)).detach()
            prediction, state = self.at_one_scale(self.resize(image, (h, w)), coarse, state)
            pyramid.append(prediction)
        return Restored(image=prediction, pyramid=tuple(pyramid))
