"""Training losses."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from deblurzoo import extensions
from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.nets.blocks import full_precision
from deblurzoo.ops.warp import warp

Loss = Callable[[Tensor, Tensor], Tensor]
"""Function of restored and sharp images, both float (B, 3, H, W), nominally in [0, 1]; returns a scalar tensor."""
ResizeTo = Callable[[Tensor, tuple[int, int]], Tensor]


class Term(NamedTuple):
    """A term of the loss: its value, which is logged, and its weight in the sum that is minimised."""

    value: Tensor
    weight: float = 1.0


def charbonnier(image: Tensor, sharp: Tensor) -> Tensor:
    """Return the mean of sqrt(d^2 + 1e-6) over pixel differences d. Reference: Lai et al., CVPR 2017, with eps 1e-3."""
    return (image - sharp).square().add(1e-6).sqrt().mean()


def negative_psnr(image: Tensor, sharp: Tensor) -> Tensor:
    """Return the negative PSNR in dB, averaged over images. Reference: the loss of HINet and NAFNet."""
    squared_error = (image - sharp).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(squared_error + 1e-8).mean()


def frequency(image: Tensor, sharp: Tensor) -> Tensor:
    """Return the mean absolute difference of the Fourier transforms, over real and imaginary parts.

    Motion blur weakens high frequencies, to which this loss gives the same weight as to low ones. The transforms are
    not normalised. Reference: eq. 5 of Cho et al. (MIMO-UNet), ICCV 2021, who add 0.1 of it to the l1 loss. It is the
    multi-scale loss of the paper at each scale of a network.
    """
    return torch.view_as_real(torch.fft.fft2(image - sharp)).abs().mean()


LOSSES: dict[str, Loss] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "charbonnier": charbonnier,
    "psnr": negative_psnr,
    "frequency": frequency,
}


def _scalar(name: str, loss: Loss, image: Tensor, sharp: Tensor) -> Tensor:
    if name in LOSSES:
        return loss(image, sharp)
    try:
        value = loss(image, sharp)
    except Exception as error:  # a user's function may raise any exception
        raise DeblurzooError(f"model.loss.{name} failed ({type(error).__name__}: {first_line(error)})") from error
    if not isinstance(value, Tensor) or value.ndim:
        shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise DeblurzooError(
            f"model.loss.{name} returned {shape}: a loss must return a scalar tensor, without dimensions"
        )
    return value


class WeightedLosses:
    """Named losses with weights.

    Args:
        weights: weight of each loss. The key is the name of the loss in `LOSSES` of this module or a trusted package.

    Raises:
        DeblurzooError: a loss is unknown.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        known = LOSSES if LOSSES.keys() >= weights.keys() else extensions.with_entries("LOSSES", LOSSES)
        for name in weights:
            if name not in known:
                raise DeblurzooError(
                    f"model.loss.{name} is not a known loss: choose from {', '.join(known)}, or, if a package "
                    "defines this loss, set trust=PACKAGE"
                )
        self.terms = {name: (known[name], float(weight)) for name, weight in weights.items()}

    def __call__(self, image: Tensor, sharp: Tensor, suffix: str = "") -> dict[str, Term]:
        """Return the losses of an image (B, 3, H, W) by name, with `suffix` appended to each name."""
        image = full_precision(image)
        return {
            name + suffix: Term(_scalar(name, loss, image, sharp), weight)
            for name, (loss, weight) in self.terms.items()
        }

    def at_each_scale(self, pyramid: Sequence[Tensor], sharp: Tensor, resize: ResizeTo) -> dict[str, Term]:
        """Return the losses at each scale.

        With only `mse` of weight 1, the sum over scales is the loss of the SRN paper (eq. 4 with all kappa = 1).

        Args:
            pyramid: predictions, each (B, 3, h, w).
            sharp: target (B, 3, H, W) in [0, 1], resized to each scale.
            resize: resize function of the network, so that predictions and targets are resampled identically.
        """
        terms: dict[str, Term] = {}
        for image in pyramid:
            height, width = image.shape[-2:]
            terms |= self(image, resize(sharp, (height, width)), f"_1_{sharp.shape[-1] // width}")
        return terms


def warp_losses(flows: Sequence[Tensor], blur: Tensor) -> dict[str, Tensor]:
    """Return, for each neighbour and scale, the squared error between the frame to restore and the warped neighbour.

    Reference: eq. 14 of the TCSVT 2021 paper, which sums squared differences over the pixels of every scale. Here, each
    error is their mean, multiplied by the scale's share of the full-resolution pixels. The image loss is a mean over
    the full resolution. The relative weight of the two losses therefore matches the paper. The authors' code
    downsamples the frame and its neighbour with two different filters; here, both frames are area-averaged.

    Args:
        flows: optical flows, each (B, 2 (T - 1), h, w) in pixels of its scale.
        blur: blurry frames (B, T, 3, H, W) in [0, 1]; the first frame is the frame to restore.
    """
    losses = {}
    for flow in flows:
        height, width = flow.shape[-2:]
        scale = blur.shape[-1] // width
        frame, *others = (F.adaptive_avg_pool2d(b, (height, width)) for b in blur.unbind(1))
        for name, other, to_other in zip(("next", "previous"), others, flow.chunk(len(others), dim=1), strict=False):
            losses[f"warp_{name}_1_{scale}"] = F.mse_loss(warp(other, to_other), frame) / scale**2
    return losses
