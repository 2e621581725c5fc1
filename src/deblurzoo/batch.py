"""Types shared by data, networks, losses and metrics."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn


class Unrendered(NamedTuple):
    """Exposures of P photos, which `data.degrade` renders on the device.

    T exposures of a photo consist of S sub-frames each. A sub-frame shows L layers: the photo, and objects in front.
    """

    sample: list[int]
    """The position of each photo's sample in the batch."""
    photo: Tensor
    """(P, 3, h, w) uint8, with a margin around the crop."""
    objects: Tensor
    """(Q, 4, s, s) uint8: RGB and opacity of the objects of all photos, photo by photo."""
    maps: Tensor
    """(N, 2, 3) float32: affine maps from pixels of a sub-frame to pixels of a layer; L * T * S maps per photo."""
    shape: list[tuple[int, int, int]]
    """L, T and S of each photo."""
    windows: list[list[tuple[int, int, int, int]]]
    """For each photo, (L - 1) * T windows of the sub-frames outside of which an object is not visible: left, top, right
    and bottom."""
    response: list[float | Literal["srgb"] | None]
    """Camera response of each photo, see `synthesis.options.Response`."""


class Unblurred(NamedTuple):
    """E samples to which `data.degrade` adds blur on the device, see `synthesis.extra_blur`."""

    sample: list[int]
    """The position of each sample in the batch."""
    images: Tensor
    """(E, T + 1, 3, h, w) uint8: the blurry frames and the sharp image, with a margin around the crop."""
    kernel: Tensor
    """(E, k, k) float32: blur kernels, padded to the same odd size."""
    side: list[int]
    """The size of each kernel without padding."""
    layer: Tensor
    """(Q, 4, h, w) float32: the moving objects of some samples. Premultiplied RGB and opacity, both in [0, 1]."""
    objects: list[bool]
    """Whether each sample has an object, which moves instead of the image."""


class Batch(NamedTuple):
    """A batch of a data loader: B samples, each with T consecutive blurry frames and one sharp target."""

    blur: Tensor
    """(B, T, 3, H, W) in [0, 1]: the frame to restore, the next frame (if T > 1) and the previous frame (if T = 3)."""
    sharp: Tensor
    """(B, 3, H, W) in [0, 1]: the sharp image of the frame to restore."""
    clip: Sequence[str]
    """B clip names."""
    frame: Sequence[str]
    """B frame names, unique within their clip."""
    flow: Tensor | None = None
    """(B, 2, H, W): the true flow from the frame to restore to the next frame, in pixels; None if it is unknown."""
    unrendered: Unrendered | None = None
    """Exposures that replace `blur` and `sharp` of their samples once they are rendered."""
    unblurred: Unblurred | None = None
    """Pairs that replace `blur` and `sharp` of their samples once their extra blur is added."""
    noise: Tensor | None = None
    """(B, T, 3, H, W) float16: noise to be added to `blur`, in 8-bit levels."""
    quality: Tensor | None = None
    """(B,) float32: JPEG quality with which `blur` is to be compressed."""


class Restored(NamedTuple):
    """The output of a network."""

    image: Tensor
    """(B, 3, H, W), nominally in [0, 1], not clamped."""
    pyramid: tuple[Tensor, ...] = ()
    """Predictions from coarse to fine, each (B, 3, h, w); empty for single-scale networks."""
    flows: tuple[Tensor, ...] = ()
    """Optical flows from fine to coarse, in pixels of their scale; empty if no flow is predicted. Each is (B, 2, h, w),
    flow to the next frame, or (B, 4, h, w), flow to the next and the previous frame."""


def restored_by(net: nn.Module, blur: Tensor) -> Restored:
    """Return a network's output for frames (B, T, 3, H, W). If the output is only the image, wrap it in `Restored`."""
    output = net(blur)
    return output if isinstance(output, Restored) else Restored(output)
