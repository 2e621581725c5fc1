"""Baseline of the SVRNN paper: Liu, Pan, Yang, "Learning Recursive Filters for Low-Level Vision", ECCV 2016."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deblurzoo.batch import Restored
from deblurzoo.nets.base import DeblurNet
from deblurzoo.nets.blocks import Resize, cascade, conv, full_precision, luminance, upsample
from deblurzoo.ops import spatial_rnn


class Liu2016(DeblurNet):
    """Two stages of spatial RNNs at full resolution; the RNN weights are predicted from image gradients.

    Reference: `LRNN_v1.prototxt` of github.com/Liusifei/caffe-lowlevel. The authors of the SVRNN paper retrained "the
    network by Liu et al.", but do not state which of its two versions they used. This class is version 1.

    Args:
        resize: `half_pixel`, or `caffe` as in the code, which the authors' weights require; see `blocks.upsample`.
    """

    frames = 1
    size_multiple = 16

    def __init__(self, resize: Resize = "half_pixel") -> None:
        super().__init__()
        self.resize = resize
        self.conv0 = conv(5, 3, 3)  # (B, 3, H, W)
        self.conv1 = conv(12, 16, 3)  # (B, 16, H, W): the features to filter
        self.conv2 = conv(2, 16, 5)  # (B, 16, H, W): from the gradients only
        self.conv3 = conv(16, 32, 3)  # (B, 32, H/2, W/2)
        self.conv4 = conv(32, 32, 3)  # (B, 32, H/4, W/4)
        self.conv5 = conv(32, 32, 3)  # (B, 32, H/8, W/8)
        self.conv6 = conv(32, 64, 3)  # (B, 64, H/16, W/16)
        self.conv6s = conv(64, 64, 3)  # (B, 64, H/8, W/8)
        self.conv7 = conv(96, 32, 3)  # (B, 32, H/4, W/4)
        self.conv8 = conv(64, 16, 3)  # (B, 16, H/2, W/2)
        self.conv9 = conv(32, 64, 3)  # (B, 64, H, W): weights x1, y1, x2, y2, 16 channels each
        self.conv10 = conv(16, 64, 3)  # (B, 64, H, W)
        self.conv11 = conv(64, 3, 3)  # (B, 3, H, W)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def rnn_weights(self, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of both stages, each (B, 64, H, W) in (-1, 1); opposite directions share weights."""

        def up2(x: Tensor) -> Tensor:
            return upsample(x, 2, self.resize)

        conv2 = F.relu(self.conv2(gradients))
        conv3 = F.relu(self.conv3(F.max_pool2d(conv2, 2)))
        conv4 = F.relu(self.conv4(F.max_pool2d(conv3, 2)))
        conv5 = F.relu(self.conv5(F.max_pool2d(conv4, 2)))
        x = F.relu(self.conv6(F.max_pool2d(conv5, 2)))
        x = F.relu(self.conv6s(up2(x)))
        x = F.relu(self.conv7(torch.cat([conv4, up2(x)], dim=1)))
        x = F.relu(self.conv8(torch.cat([conv3, up2(x)], dim=1)))
        maps = full_precision(self.conv9(torch.cat([conv2, up2(x)], dim=1)))
        x1, y1, x2, y2 = torch.tanh(maps).chunk(4, dim=1)
        return torch.cat([x1, x1, y1, y1], dim=1), torch.cat([x2, x2, y2, y2], dim=1)

    def forward(self, blur: Tensor) -> Restored:
        """Restore (B, 1, 3, H, W); H and W must be multiples of 16. The output is in (0, 1)."""
        image = blur[:, 0]
        gradients = torch.cat([_gradient(luminance(image), dim) for dim in (3, 2)], dim=1)
        x = self.conv0(torch.cat([image - 0.5, gradients], dim=1))
        pyramid, pooled = [x], x
        for factor in (2, 4, 8):
            pooled = F.max_pool2d(pooled, 2)
            pyramid.append(upsample(pooled, factor, self.resize))
        first, second = self.rnn_weights(gradients)
        x = self.conv1(torch.cat(pyramid, dim=1))
        directions = cascade(spatial_rnn(full_precision(x), first), second)
        x = torch.stack(directions.chunk(4, dim=1)).amax(dim=0)
        return Restored(torch.sigmoid(self.conv11(F.relu(self.conv10(x)))))


def _gradient(image: Tensor, dim: int) -> Tensor:
    """Return central differences, one-sided at the borders, like MATLAB's `gradient`.

    `torch.gradient` gives the same values, but its ONNX graph supports only images of one size.
    """
    size = image.shape[dim]
    inside = (image.narrow(dim, 2, size - 2) - image.narrow(dim, 0, size - 2)) / 2
    first, last = (image.narrow(dim, start + 1, 1) - image.narrow(dim, start, 1) for start in (0, size - 2))
    return torch.cat([first, inside, last], dim=dim)
