"""FlowRNN: Zhang et al., "Deep Dynamic Scene Deblurring from Optical Flow", TCSVT 2021."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from deblurzoo.batch import Restored
from deblurzoo.nets.base import DeblurNet, Fill
from deblurzoo.nets.blocks import caffe_xavier_, conv, deconv, full_precision, leaky
from deblurzoo.ops import spatial_rnn

Variant = Literal[
    "full", "no_rnns", "concat_weights", "no_flow", "no_flow_losses", "two_directions", "rnn_decoder"
]  # fmt: skip
VARIANTS: tuple[Variant, ...] = get_args(Variant)  # fmt: skip


class FlowNet(nn.Module):
    """FlowNetS with 3/8 of the channels. It predicts optical flow at five scales and RNN weights at three scales.

    Flow and RNN weights are predicted from shared features. Reference: Table I of the paper, checked against
    `flownets_deblur_train.prototxt` of the published code, which has the same layer names.

    Args:
        frames: T, the number of input frames. The first frame is the frame to restore.
        flows: number of neighbouring frames to which flow is predicted.
        width: multiplier of the number of channels.
    """

    def __init__(self, frames: int, flows: int, width: float) -> None:
        super().__init__()
        c12, c24, c48, c96, c192, c384 = (max(1, round(c * width)) for c in (12, 24, 48, 96, 192, 384))
        f = 2 * flows
        self.conv1 = conv(3 * frames, c24, 7, stride=2)  # (B, 24, H/2, W/2)
        self.conv2 = conv(c24, c48, 5, stride=2)  # (B, 48, H/4, W/4)
        self.conv3 = conv(c48, c96, 5, stride=2)  # (B, 96, H/8, W/8)
        self.conv3_1 = conv(c96, c96, 3)
        self.conv4 = conv(c96, c192, 3, stride=2)  # (B, 192, H/16, W/16)
        self.conv4_1 = conv(c192, c192, 3)
        self.conv5 = conv(c192, c192, 3, stride=2)  # (B, 192, H/32, W/32)
        self.conv5_1 = conv(c192, c192, 3)
        self.conv6 = conv(c192, c384, 3, stride=2)  # (B, 384, H/64, W/64)
        self.conv6_1 = conv(c384, c384, 3)
        # Channels of K_s, the features at scale s: concatenation of conv_s, deconv_(s+1) and the upsampled flow_(s+1).
        k6, k5, k4, k3, k2 = c384, 2 * c192 + f, c192 + c96 + f, c96 + c48 + f, c48 + c24 + f
        self.flow6, self.up6to5, self.deconv6 = conv(k6, f, 3), deconv(f, f), deconv(k6, c192)  # H/64 to H/32
        self.flow5, self.up5to4, self.deconv5 = conv(k5, f, 3), deconv(f, f), deconv(k5, c96)  # H/32 to H/16
        self.flow4, self.up4to3, self.deconv4 = conv(k4, f, 3), deconv(f, f), deconv(k4, c48)  # H/16 to H/8
        self.flow3, self.up3to2, self.deconv3 = conv(k3, f, 3), deconv(f, f), deconv(k3, c24)  # H/8 to H/4
        self.flow2, self.up2to1, self.deconv2 = conv(k2, f, 3), deconv(f, f), deconv(k2, c12)  # H/4 to H/2
        self.rnnw1 = conv(c24 + c12 + f, 4 * c24, 3)  # (B, 4 directions x 24, H/2, W/2)
        self.rnnw2 = conv(k2, 4 * c48, 3)  # (B, 4 x 48, H/4, W/4)
        self.rnnw3 = conv(k3, 4 * c96, 3)  # (B, 4 x 96, H/8, W/8)

    def forward(self, frames: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Map (B, 3T, H, W), with H and W multiples of 64, to flows and RNN weights.

        Returns:
            Flows (B, 2 or 4, h, w) at scales 1/4, 1/8, 1/16, 1/32 and 1/64, in pixels of their scale, and RNN weights
            in (-1, 1) at scales 1/2, 1/4 and 1/8.
        """
        conv1 = leaky(self.conv1(frames))
        conv2 = leaky(self.conv2(conv1))
        conv3 = leaky(self.conv3_1(leaky(self.conv3(conv2))))
        conv4 = leaky(self.conv4_1(leaky(self.conv4(conv3))))
        conv5 = leaky(self.conv5_1(leaky(self.conv5(conv4))))
        k6 = leaky(self.conv6_1(leaky(self.conv6(conv5))))
        flow6 = self.flow6(k6)
        k5 = torch.cat([conv5, leaky(self.deconv6(k6)), self.up6to5(flow6)], dim=1)
        flow5 = self.flow5(k5)
        k4 = torch.cat([conv4, leaky(self.deconv5(k5)), self.up5to4(flow5)], dim=1)
        flow4 = self.flow4(k4)
        k3 = torch.cat([conv3, leaky(self.deconv4(k4)), self.up4to3(flow4)], dim=1)
        flow3 = self.flow3(k3)
        k2 = torch.cat([conv2, leaky(self.deconv3(k3)), self.up3to2(flow3)], dim=1)
        flow2 = self.flow2(k2)
        k1 = torch.cat([conv1, leaky(self.deconv2(k2)), self.up2to1(flow2)], dim=1)
        # Computed in float32 even under autocast, because bfloat16 has a resolution of only 0.004 near 1.
        weights = tuple(
            torch.tanh(full_precision(layer(k))) for layer, k in ((self.rnnw1, k1), (self.rnnw2, k2), (self.rnnw3, k3))
        )
        return (flow2, flow3, flow4, flow5, flow6), weights


class FlowRNN(DeblurNet):
    """U-Net with spatially variant RNNs at three scales; a flow network predicts the RNN weights.

    Reference: section III and Table I of the paper; github.com/zhjwustc/tcsvt21_flow_deblur_matcaffe. Table III states
    8.7M parameters, which matches neither Table I nor any published prototxt (see `papers.yaml`).

    The input frames are the frame to restore, the next frame (except for `no_rnns` and `no_flow`) and, for
    `two_directions`, the previous frame. The encoder has no activations, and the results of the four scan directions of
    each RNN are concatenated. The network predicts the image itself, without a residual connection.

    Args:
        variant: `full`, or an ablation of Table IV. `no_rnns` has neither RNNs nor flow network. `concat_weights`
            replaces each RNN by the concatenation of features and weights. In `no_flow`, the flow network reads only
            the frame to restore, and flow is not learned. `no_flow_losses` is the same network as `full`, trained
            without the warping losses. `two_directions` predicts flow to the next and to the previous frame.
            `rnn_decoder` has its RNNs in the decoder, after the layers whose widths match the RNN weights (the paper
            does not specify the layers).
        width: multiplier of the number of channels.
        same_frame: whether the flow network reads the frame to restore in place of its neighbours, at inference only
            (Fig. 6b).
        residual: whether to predict the difference from the blurry image (not in the paper). Training then starts from
            the identity, because the last convolution is initialised to zero. This helps small networks with a small
            training budget.
        fill: pixels appended below and to the right of frames whose size is not a multiple of 64: `replicate`, or
            `zeros` as in the authors' scripts, which append zeros below frames of 720 rows. Unlike in their scripts,
            portrait frames are not transposed.
    """

    frames: int
    size_multiple = 64

    def __init__(
        self,
        variant: Variant = "full",
        width: float = 1.0,
        same_frame: bool = False,
        residual: bool = False,
        fill: Fill = "replicate",
    ) -> None:
        super().__init__()
        if width <= 0:
            raise ValueError(f"width={width} must be above 0")
        self.variant, self.same_frame, self.residual, self.fill = variant, same_frame, residual, fill
        self.frames = {"no_rnns": 1, "no_flow": 1, "two_directions": 3}.get(variant, 2)
        if variant != "no_rnns":
            self.flow_net = FlowNet(self.frames, flows=2 if variant == "two_directions" else 1, width=width)
        c12, c24, c48, c96 = (max(1, round(c * width)) for c in (12, 24, 48, 96))
        # Factors by which `encode` and `decode` multiply the number of channels.
        e = {"no_rnns": 1, "rnn_decoder": 1, "concat_weights": 5}.get(variant, 4)
        d = 4 if variant == "rnn_decoder" else 1
        self.d_conv1 = conv(3, c24, 5, stride=2)  # (B, 24, H/2, W/2)
        self.d_conv2 = conv(e * c24, c48, 5, stride=2)  # (B, 48, H/4, W/4)
        self.d_conv3 = conv(e * c48, c96, 5, stride=2)  # (B, 96, H/8, W/8)
        self.d_conv3_2 = conv(e * c96, c96, 5)
        self.d_conv3_3 = conv(d * c96, c48, 5)
        self.d_deconv3 = deconv(e * c96 + c48, c48)  # (B, 48, H/4, W/4)
        self.d_deconv3_1 = conv(c48, c48, 5)
        self.d_deconv2 = deconv(e * c48 + d * c48, c24)  # (B, 24, H/2, W/2)
        self.d_deconv2_1 = conv(c24, c24, 5)
        self.d_deconv1 = deconv(e * c24 + d * c24, c12)  # (B, 12, H, W)
        self.d_deconv1_1 = conv(c12, c12, 5)
        self.d_conv0 = conv(3 + c12, 3, 5)  # (B, 3, H, W)
        self.initialise()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # trains 1.5 times as fast on a CPU

    def initialise(self, caffe: bool = False) -> None:
        """Initialise weights: Xavier in `d_conv…` and `rnnw…`, He in all other layers. Biases are zero.

        The choice for each layer follows the code, but by default both methods are torch's versions. Caffe's Xavier
        depends only on the number of inputs, and Caffe's He initialisation ignores the negative slope.
        """
        xavier_ = caffe_xavier_ if caffe else nn.init.xavier_uniform_
        for name, module in self.named_modules():
            if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                continue
            if name.startswith(("d_conv", "flow_net.rnnw")):
                xavier_(module.weight)
            else:
                nn.init.kaiming_normal_(module.weight, a=0 if caffe else 0.1, nonlinearity="leaky_relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if self.residual:
            nn.init.zeros_(self.d_conv0.weight)

    @property
    def learns_flow(self) -> bool:
        """Whether the paper trains this variant with warping losses."""
        return self.variant not in ("no_rnns", "no_flow", "no_flow_losses")

    def encode(self, x: Tensor, weights: Tensor) -> Tensor:
        """Apply the variant's encoder operation at one scale: RNN, concatenation with the weights, or identity."""
        if self.variant in ("no_rnns", "rnn_decoder"):
            return x
        if self.variant == "concat_weights":
            return torch.cat([x, weights], dim=1)
        return spatial_rnn(full_precision(x), weights)

    def decode(self, x: Tensor, weights: Tensor) -> Tensor:
        """Apply the variant's decoder operation at one scale: RNN or identity."""
        return spatial_rnn(full_precision(x), weights) if self.variant == "rnn_decoder" else x

    def forward(self, blur: Tensor) -> Restored:
        """Restore (B, T, 3, H, W), H and W multiples of 64. Flows are (B, 2 or 4, h, w) at scales 1/4 to 1/64."""
        image = blur[:, 0]
        flows: tuple[Tensor, ...] = ()
        w1 = w2 = w3 = image  # placeholders, unused by `no_rnns`
        if self.variant != "no_rnns":
            seen = image[:, None].expand_as(blur) if self.same_frame and not self.training else blur
            flows, (w1, w2, w3) = self.flow_net(seen.flatten(1, 2))
        e1 = self.encode(self.d_conv1(image), w1)
        e2 = self.encode(self.d_conv2(e1), w2)
        e3 = self.encode(self.d_conv3(e2), w3)
        x = leaky(self.d_conv3_3(self.decode(leaky(self.d_conv3_2(e3)), w3)))
        x = leaky(self.d_deconv3_1(leaky(self.d_deconv3(torch.cat([e3, x], dim=1)))))
        x = leaky(self.d_deconv2_1(leaky(self.d_deconv2(torch.cat([e2, self.decode(x, w2)], dim=1)))))
        x = leaky(self.d_deconv1_1(leaky(self.d_deconv1(torch.cat([e1, self.decode(x, w1)], dim=1)))))
        prediction = self.d_conv0(torch.cat([image, x], dim=1))
        return Restored(
            image=image + prediction if self.residual else prediction,
            flows=() if self.variant == "no_flow" else flows,
        )
