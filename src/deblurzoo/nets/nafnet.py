"""NAFNet: Chen et al., "Simple Baselines for Image Restoration", ECCV 2022."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.batch import Restored
from deblurzoo.nets.base import DeblurNet
from deblurzoo.nets.blocks import conv


class NAFNet(DeblurNet):
    """U-Net without activation functions: the product of two halves of the channels is the only nonlinearity.

    Reference: sections 3 and 4 and the appendix of the paper; `basicsr/models/archs/NAFNet_arch.py` of
    github.com/megvii-research/NAFNet, which has the same layer names and initialisation (torch's default). The code
    pads images with zeros, deblurzoo by replication.

    The channel attention averages each feature map over the image. At inference, an image is larger than the crops of
    training; the test-time local converter (TLC; Chu et al., ECCV 2022) therefore averages over a window around each
    pixel instead. Like the code, this class keeps the window within the image, and the window is `tlc` pixels of the
    image at every level of the U-Net.

    Args:
        width: number of channels at full resolution; each level of the encoder doubles it.
        encoder_blocks: number of blocks at each level of the encoder, from full resolution down.
        middle_blocks: number of blocks at the lowest resolution.
        decoder_blocks: number of blocks at each level of the decoder, up to full resolution.
        tlc: side of the window in pixels; the code uses 1.5 times the crop size of training. None averages over the
            whole image. Training always averages over the whole crop.
    """

    frames = 1
    size_multiple: int

    def __init__(
        self,
        width: int = 64,
        encoder_blocks: tuple[int, ...] = (1, 1, 1, 28),
        middle_blocks: int = 1,
        decoder_blocks: tuple[int, ...] = (1, 1, 1, 1),
        tlc: int | None = None,
    ) -> None:
        super().__init__()
        levels = len(encoder_blocks)
        self.size_multiple = 2**levels
        if not levels == len(decoder_blocks) > 0:
            raise ValueError(
                f"encoder_blocks={encoder_blocks} and decoder_blocks={decoder_blocks} must have equal lengths above 0"
            )
        if min(width - 1, middle_blocks, *encoder_blocks, *decoder_blocks) < 0:
            raise ValueError(f"width={width} must be above 0, and the numbers of blocks must not be negative")
        if tlc is not None and tlc < self.size_multiple:
            raise ValueError(f"tlc={tlc} must be at least {self.size_multiple}, one pixel at the lowest resolution")

        def blocks(level: int, number: int) -> nn.Sequential:
            return nn.Sequential(*(Block(width * 2**level, scale=2**level) for _ in range(number)))

        def up(inputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(inputs, 2 * inputs, 1, bias=False), nn.PixelShuffle(2))

        down = range(levels)
        self.intro = conv(3, width, 3)  # (B, width, H, W)
        self.encoders = nn.ModuleList(blocks(n, encoder_blocks[n]) for n in down)  # (B, width * 2^n, H / 2^n, W / 2^n)
        self.downs = nn.ModuleList(nn.Conv2d(width * 2**n, width * 2 ** (n + 1), 2, stride=2) for n in down)
        self.middle_blks = blocks(levels, middle_blocks)
        self.ups = nn.ModuleList(up(width * 2 ** (n + 1)) for n in reversed(down))
        self.decoders = nn.ModuleList(blocks(n, decoder_blocks[levels - 1 - n]) for n in reversed(down))
        self.ending = conv(width, 3, 3)  # (B, 3, H, W)
        self.tlc = tlc
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def tlc(self) -> int | None:
        """Side of the window in pixels, or None for the whole image; may be changed after training."""
        return self._tlc

    @tlc.setter
    def tlc(self, side: int | None) -> None:
        self._tlc = side
        for module in self.modules():
            if isinstance(module, Pool):
                module.window = None if side is None else side // module.scale

    def forward(self, blur: Tensor) -> Restored:
        """Restore (B, 1, 3, H, W); H and W must be multiples of `size_multiple`."""
        image = blur[:, 0]
        x = self.intro(image)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(x))
            x = down(skips[-1])
        x = self.middle_blks(x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(up(x) + skips.pop())
        return Restored(image + self.ending(x))


class Block(nn.Module):
    """Two residual branches: convolutions with channel attention, and two 1x1 convolutions; initially the identity.

    Args:
        channels: number of channels.
        scale: factor by which the features are smaller than the image.
    """

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        c = channels
        self.norm1 = ChannelNorm(c, eps=1e-6)
        self.conv1 = conv(c, 2 * c, 1)
        self.conv2 = nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.sca = nn.Sequential(Pool(scale), conv(c, c, 1))
        self.conv3 = conv(c, c, 1)
        self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.norm2 = ChannelNorm(c, eps=1e-6)
        self.conv4 = conv(c, 2 * c, 1)
        self.conv5 = conv(c, c, 1)
        self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        gated = gate(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.beta * self.conv3(gated * self.sca(gated))
        changed: Tensor = x + self.gamma * self.conv5(gate(self.conv4(self.norm2(x))))
        return changed


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        normalised: Tensor = super().forward(x.permute(0, 2, 3, 1))
        return normalised.permute(0, 3, 1, 2)


class Pool(nn.Module):
    """Average over the whole image or, at inference, over a square window of `window` pixels around each pixel."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.window: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, 1, 1) or, with a window that does not cover the image, to (B, C, H, W)."""
        if self.training or self.window is None:
            return x.mean((2, 3), keepdim=True)
        # Compiled and exported networks have no branches that depend on the size.
        if not torch.compiler.is_compiling() and self.window >= max(x.shape[-2:]):
            return x.mean((2, 3), keepdim=True)
        rows = moving_average(x.float(), self.window)
        return moving_average(rows.mT, self.window).mT


def gate(x: Tensor) -> Tensor:
    """Multiply the two halves of the channels: (B, 2C, H, W) to (B, C, H, W). The paper's SimpleGate."""
    first, second = x.chunk(2, dim=1)
    return first * second


def moving_average(x: Tensor, window: int) -> Tensor:
    """Return the average along the last dimension (…, N) over `window` elements around each element.

    A window that would exceed the dimension is shifted inwards, and cut to its N elements if it is longer.
    """
    size = x.shape[-1]
    start = (torch.arange(size, device=x.device) - (window - 1) // 2).clamp(min=0)
    end = (start + window).clamp(max=size)
    start = (end - window).clamp(min=0)
    total = F.pad(x.cumsum(-1), (1, 0))
    return (total[..., end] - total[..., start]) / (end - start)
