"""Training losses."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from deblurzoo import extensions
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.ops.warp import warp

Loss = Callable[[Tensor, Tensor], Tensor]
"""From a restored and a sharp image, both float (B, 3, H, W), nominally in [0, 1], to a number to be minimised."""
ResizeTo = Callable[[Tensor, tuple[int, int]], Tensor]


def charbonnier(image: Tensor, sharp: Tensor) -> Tensor:
    """Return the mean of sqrt(d^2 + 1e-6) over all differences d: Lai et al., CVPR 2017, with eps 1e-3."""
    return (image - sharp).square().add(1e-6).sqrt().mean()


def negative_psnr(image: Tensor, sharp: Tensor) -> Tensor:
    """Return the negative PSNR in dB, a mean over images: the loss of HINet and NAFNet."""
    squared_error = (image - sharp).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(squared_error + 1e-8).mean()


LOSSES: dict[str, Loss] = {"mse": F.mse_loss, "l1": F.l1_loss, "charbonnier": charbonnier, "psnr": negative_psnr}


def _scalar(name: str, loss: Loss, image: Tensor, sharp: Tensor) -> Tensor:
    if name in LOSSES:
        return loss(image, sharp)
    try:
        value = loss(image, sharp)
    except Exception as error:  # whatever somebody's function raises
        raise DeblurzooError(
            f"model.loss.{name} cannot be taken ({type(error).__name__}: {first_line(error)})"
        ) from error
    if not isinstance(value, Tensor) or value.ndim:
        shape = f"a tensor of {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise DeblurzooError(
            f"model.loss.{name} gave {shape}: it must return a tensor of one number, without dimensions"
        )
    return value


class WeightedLosses:
    """Losses by name, each with its weight.

    Args:
        weights: names of `LOSSES`, or of a trusted package's, and their weights.

    Raises:
        DeblurzooError: there is no loss of a name.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        known = LOSSES if LOSSES.keys() >= weights.keys() else extensions.with_entries("LOSSES", LOSSES)
        for name in weights:
            if name not in known:
                raise DeblurzooError(
                    f"model.loss.{name} is no loss: choose some of {', '.join(known)}, or name the package that has it "
                    "by trust=PACKAGE"
                )
        self.terms = {name: (known[name], float(weight)) for name, weight in weights.items()}

    def __call__(self, image: Tensor, sharp: Tensor, suffix: str = "") -> dict[str, Tensor]:
        """Return the weighted terms of an image (B, 3, H, W), their names with a suffix."""
        image = image.float()
        return {
            name + suffix: weight * _scalar(name, loss, image, sharp) for name, (loss, weight) in self.terms.items()
        }

    def at_each_scale(self, pyramid: Sequence[Tensor], sharp: Tensor, resize: ResizeTo) -> dict[str, Tensor]:
        """Return the terms at each scale; of `mse` their sum is the loss of the SRN paper (eq. 4, all kappa 1).

        Args:
            pyramid: predictions, each (B, 3, h, w).
            sharp: the target (B, 3, H, W) in [0, 1]; it is resized to every scale.
            resize: the network's own resizing, so that prediction and target pyramids are made alike.
        """
        terms: dict[str, Tensor] = {}
        for image in pyramid:
            height, width = image.shape[-2:]
            terms |= self(image, resize(sharp, (height, width)), f"_1_{sharp.shape[-1] // width}")
        return terms


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
