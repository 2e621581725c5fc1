"""The blur former: a camera's exposure as an average of sharp frames."""

from torch import Tensor

CAMERA_GAMMA = 2.2
"""The camera response that GOPRO assumes (Nah et al., CVPR 2017, section 2.1)."""


def form_blur(frames: Tensor, gamma: float | None = None) -> Tensor:
    """Average N consecutive sharp frames (N, ..., H, W) in [0, 1] to one blurry picture (..., H, W) in [0, 1].

    Args:
        frames: as the camera stored them; computed in float64, so that equal frames give that frame again.
        gamma: None averages the stored values (GOPRO's `blur`); a number g averages in linear light, x^g, and goes
            back to display values with 1/g (GOPRO's `blur_gamma`, g = 2.2).
    """
    exact = frames.double()
    mean = exact.mean(dim=0) if gamma is None else exact.pow(gamma).mean(dim=0).pow(1 / gamma)
    return mean.to(frames.dtype)
