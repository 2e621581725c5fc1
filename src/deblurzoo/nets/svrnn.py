"""SVRNN-Deblur: Zhang et al., "Dynamic Scene Deblurring Using Spatially Variant Recurrent Neural Networks", 2018."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.batch import Restored
from deblurzoo.nets.base import DeblurNet
from deblurzoo.nets.blocks import Resize, caffe_xavier_, cascade, conv, full_precision, leaky, upsample
from deblurzoo.ops import spatial_rnn

Variant = Literal["full", "no_skip", "no_convs", "no_rnns", "weights_only"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)


class WeightGeneration(nn.Module):
    """Auto-encoder with the layers conv3 to conv15. The RNN weights are computed from its output.

    The first nine layers have the same shapes as in VGG-16.

    Args:
        skip: whether to concatenate the outputs of conv8 and conv6 with the decoder's features.
        width: multiplier of the number of channels.
        resize: see `SVRNN`.
    """

    def __init__(self, skip: bool, width: float, resize: Resize) -> None:
        super().__init__()
        c64, c128, c256, c512 = (max(1, round(c * width)) for c in (64, 128, 256, 512))
        self.skip, self.resize = skip, resize
        self.conv3 = conv(3, c64, 3)  # (B, 64, H, W)
        self.conv4 = conv(c64, c64, 3)
        self.conv5 = conv(c64, c128, 3)  # (B, 128, H/2, W/2)
        self.conv6 = conv(c128, c128, 3)
        self.conv7 = conv(c128, c256, 3)  # (B, 256, H/4, W/4)
        self.conv8 = conv(c256, c256, 3)
        self.conv9 = conv(c256, c256, 3)
        self.conv10 = conv(c256, c512, 3)  # (B, 512, H/8, W/8)
        self.conv11 = conv(c512, c512, 3)
        self.conv12 = conv(c512, c256, 3)  # (B, 256, H/8, W/8)
        self.conv13 = conv(2 * c256 if skip else c256, c128, 3)  # (B, 128, H/4, W/4)
        self.conv14 = conv(c128, c128, 3)
        self.conv15 = conv(2 * c128 if skip else c128, c256, 3)  # (B, 256, H/2, W/2)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 256, H/2, W/2)."""
        x = F.relu(self.conv4(F.relu(self.conv3(image))))
        conv6 = F.relu(self.conv6(F.relu(self.conv5(F.max_pool2d(x, 2)))))
        conv8 = F.relu(self.conv8(F.relu(self.conv7(F.max_pool2d(conv6, 2)))))
        x = F.max_pool2d(F.relu(self.conv9(conv8)), 2)
        x = F.relu(self.conv12(F.relu(self.conv11(F.relu(self.conv10(x))))))
        x = upsample(x, 2, self.resize)
        x = F.relu(self.conv13(torch.cat([conv8, x], dim=1) if self.skip else x))
        x = upsample(F.relu(self.conv14(x)), 2, self.resize)
        return F.relu(self.conv15(torch.cat([conv6, x], dim=1) if self.skip else x))


class SVRNN(DeblurNet):
    """Four spatially variant RNNs at half resolution; a second CNN predicts RNN weights per pixel from the image.

    Reference: section 3 and Table 1 of the paper; `train.prototxt` of github.com/zhjwustc/cvpr18_rnn_deblur_matcaffe.
    If paper and code disagree, this class follows the code. In the paper, LeakyReLU follows every convolution of the
    feature extraction; here, conv2 has no activation. In section 3.2, RNN weights are between 0 and 1; here, they are
    outputs of tanh in (-1, 1). The exception is `resize`, which by default is torch's, because Caffe's darkens the last
    row and column. The network predicts the image itself, without a residual connection.

    Args:
        variant: `full`, or an ablation of Tables 2 and 4. The code of the ablations was never published. `no_skip` has
            none of the four concatenations. `no_convs` has no conv17 to conv19: each direction of an RNN reads the same
            direction of the previous RNN. `no_rnns` has neither RNNs nor weight generation. `weights_only` has only the
            weight generation, and a head similar to the reconstruction of `full`.
        width: multiplier of the number of channels.
        disable_rnn: whether to set all RNN weights to 0 at inference (not in training), so that every RNN is the
            identity (section 5.1, Fig. 7b).
        conv2_act: whether to apply LeakyReLU after conv2, as in the paper but not in its code.
        residual: whether to predict the difference from the blurry image (not in the paper). Training then starts from
            the identity, because the last convolution is initialised to zero. This helps small networks with a small
            training budget.
        resize: `half_pixel`, or `caffe` as in the code, which the authors' weights require; see `blocks.upsample`.
    """

    frames = 1
    size_multiple = 8

    def __init__(
        self,
        variant: Variant = "full",
        width: float = 1.0,
        disable_rnn: bool = False,
        conv2_act: bool = False,
        residual: bool = False,
        resize: Resize = "half_pixel",
    ) -> None:
        super().__init__()
        if width <= 0:
            raise ValueError(f"width={width} must be above 0")
        self.variant, self.disable_rnn, self.conv2_act, self.residual = variant, disable_rnn, conv2_act, residual
        self.skip, self.resize = variant != "no_skip", resize
        c16, c32, c256 = (max(1, round(c * width)) for c in (16, 32, 256))
        if variant != "no_rnns":
            self.weight_generation = WeightGeneration(self.skip, width, resize)
            heads = c16 if variant == "weights_only" else 4 * 4 * c32
            self.conv16 = conv(c256, heads, 3)  # (B, 4 RNNs x 4 directions x 32, H/2, W/2)
        if variant != "weights_only":
            self.conv1 = conv(3, c16, 11)  # (B, 16, H, W)
            self.conv2 = conv(c16, c32, 7, stride=2)  # (B, 32, H/2, W/2)
            between = {"no_convs": [20]}.get(variant, [17, 18, 19, 20])
            inputs = c32 if variant == "no_rnns" else 4 * c32
            self.between = nn.ModuleDict({f"conv{i}": conv(inputs, c32, 3) for i in between})  # (B, 32, H/2, W/2)
            self.conv21 = conv(2 * c32 if self.skip else c32, c16, 9)  # (B, 16, H/2, W/2)
        joined = 2 * c16 if self.skip and variant != "weights_only" else c16
        self.conv22 = conv(joined, 3, 5)  # (B, 3, H, W)
        self.initialise()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # trains 1.25 times as fast on a CPU

    def initialise(self, caffe: bool = False) -> None:
        """Initialise weights by Xavier's method, torch's or Caffe's version. Biases are zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                (caffe_xavier_ if caffe else nn.init.xavier_uniform_)(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if self.residual:
            nn.init.zeros_(self.conv22.weight)

    def features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of conv1 (B, 16, H, W) and conv2 (B, 32, H/2, W/2) for an image (B, 3, H, W)."""
        conv1 = leaky(self.conv1(image))
        conv2 = self.conv2(conv1)
        return conv1, leaky(conv2) if self.conv2_act else conv2

    def rnn_weights(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the weights of the four RNNs, each (B, 4*32, H/2, W/2) in (-1, 1), for an image (B, 3, H, W)."""
        # Computed in float32 even under autocast, because bfloat16 has a resolution of only 0.004 near 1.
        maps = torch.tanh(full_precision(self.conv16(self.weight_generation(image))))
        return (
            torch.zeros_like(maps).chunk(4, dim=1) if self.disable_rnn and not self.training else maps.chunk(4, dim=1)
        )

    def deconvolve(self, conv2: Tensor, image: Tensor) -> Tensor:
        """Apply the four RNNs, and the convolution after each RNN, to the output of conv2 (B, 32, H/2, W/2)."""
        x = conv2
        weights = () if self.variant == "no_rnns" else self.rnn_weights(image)
        for i, name in enumerate(("conv17", "conv18", "conv19", "conv20")):
            if weights:
                follows = self.variant == "no_convs" and i
                x = cascade(x, weights[i]) if follows else spatial_rnn(full_precision(x), weights[i])
            if name in self.between:
                x = leaky(self.between[name](x))
        return x

    def forward(self, blur: Tensor) -> Restored:
        """Restore (B, 1, 3, H, W); H and W must be multiples of 8."""
        image = blur[:, 0]
        if self.variant == "weights_only":
            x = upsample(F.relu(self.conv16(self.weight_generation(image))), 2, self.resize)
        else:
            conv1, conv2 = self.features(image)
            x = self.deconvolve(conv2, image)
            x = leaky(self.conv21(torch.cat([conv2, x], dim=1) if self.skip else x))
            x = upsample(x, 2, self.resize)
            x = torch.cat([conv1, x], dim=1) if self.skip else x
        prediction = self.conv22(x)
        return Restored(image + prediction if self.residual else prediction)
