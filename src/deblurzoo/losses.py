"""Training losses."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

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
