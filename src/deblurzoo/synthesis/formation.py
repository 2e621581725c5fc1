"""Blur formation: a camera's exposure as the average of sharp frames."""

from collections.abc import Callable, Iterable
from itertools import chain

import torch
from torch import Tensor

from deblurzoo.media import Image
from deblurzoo.synthesis.options import Response


def form_blur(frames: Iterable[Tensor], response: Response = None) -> Tensor:
    """Return the average of N consecutive sharp frames as a blurry image (..., H, W); frames are read one by one.

    The average is computed in float64. The average of identical frames is therefore exactly equal to these frames, and
    without `response` sums of uint8 values are exact.

    Args:
        frames: (N, ..., H, W), or an iterable of N frames (..., H, W), as stored by the camera: float in [0, 1], or
            uint8.
        response: None averages the stored values (GOPRO's `blur`). With a camera response, frames are converted to
            linear light, averaged and converted back (GOPRO's `blur_gamma`, with a gamma of 2.2).

    Returns:
        The blurry image in the dtype of the frames; uint8 is rounded half to even.

    Raises:
        ValueError: `frames` is empty.
    """
    sequence = iter(frames)
    first = next(sequence, None)
    if first is None:
        raise ValueError("no frames to average")
    light = _light_of(first.dtype, response)
    total, count = torch.zeros(first.shape, dtype=torch.float64, device=first.device), 0
    for frame in chain([first], sequence):
        total += light(frame)
        count += 1
    mean = total / count
    if first.dtype != torch.uint8:
        return _to_display(mean, response).to(first.dtype)
    return (mean if response is None else _to_display(mean, response) * 255).round().to(torch.uint8)


def expose(frames: Iterable[Image], response: Response = None) -> Image:
    """Return `form_blur` of uint8 images (H, W, 3) as a uint8 image."""
    blurred: Image = form_blur(map(torch.from_numpy, frames), response).numpy()
    return blurred


def _light_of(dtype: torch.dtype, response: Response) -> Callable[[Tensor], Tensor]:
    """Return the function that converts a frame to the values to be averaged; uint8 frames use a lookup table."""
    if dtype != torch.uint8:
        return lambda frame: _to_light(frame.double(), response)
    if response is None:
        return lambda frame: frame
    table = _to_light(torch.arange(256, dtype=torch.float64) / 255, response)
    return lambda frame: table.to(frame.device).index_select(0, frame.int().flatten()).view(frame.shape)


def _to_light(display: Tensor, response: Response) -> Tensor:
    if response is None:
        return display
    if response == "srgb":
        return torch.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4)
    return display**response


def _to_display(light: Tensor, response: Response) -> Tensor:
    if response is None:
        return light
    if response == "srgb":
        return torch.where(light <= 0.04045 / 12.92, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return light ** (1 / response)
