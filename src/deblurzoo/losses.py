"""Training losses."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from deblurzoo.flow import warp

ResizeTo = Callable[[Tensor, tuple[int, int]], Tensor]


def pyramid_mse(pyramid: Sequence[Tensor], sharp: Tensor, resize: ResizeTo) -> dict[str, Tensor]:
    """Return the mean squared error at each scale, whose sum is the loss of the SRN paper (eq. 4, all kappa 1).

    Args:
        pyramid: predictions, each (B, 3, h, w).
        sharp: the target (B, 3, H, W) in [0, 1]; it is resized to every scale.
        resize: the network's own resizing, so that prediction and target pyramids are made alike.
    """
    return {
        f"mse_1_{sharp.shape[-1] // prediction.shape[-1]}": F.mse_loss(
            prediction.float(), resize(sharp, (prediction.shape[-2], prediction.shape[-1]))
        )
        for prediction in pyramid
    }


def warp_losses(flows: Sequence[Tensor], blur: Tensor) -> dict[str, Tensor]:
    """Return how badly the other frames, warped by the flows, agree with the frame to restore, by scale and frame.

    Eq. 14 of the TCSVT 2021 paper sums squared differences over pixels at every scale. These are means, multiplied by
    how many fewer pixels a scale has: beside a mean over the full resolution the ratios are the paper's. The code
    shrinks the two frames by two different filters; here both are averaged over areas.

    Args:
        flows: each (B, 2 (T - 1), h, w) in pixels of its scale.
        blur: (B, T, 3, H, W) in [0, 1].
    """
    losses = {}
    for flow in flows:
        height, width = flow.shape[-2:]
        scale = blur.shape[-1] // width
        frame, *others = (F.adaptive_avg_pool2d(b, (height, width)) for b in blur.unbind(1))
        for name, other, to_other in zip(("next", "previous"), others, flow.chunk(len(others), dim=1), strict=False):
            losses[f"warp_{name}_1_{scale}"] = F.mse_loss(warp(other, to_other), frame) / scale**2
    return losses
