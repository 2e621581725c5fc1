"""Degradation of batches on the device that trains, by kornia and torch."""

import torch
import torch.nn.functional as F
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import filter2d
from torch import Tensor

from deblurzoo.batch import Batch
from deblurzoo.synthesis.options import Response

CHUNK = 2**21
"""Maximum number of pixel values of the sub-frames in memory, unless a single sub-frame has more."""
FINER = 2
"""Factor by which layers are enlarged (bicubic) before they are sampled (bilinear): faster than bicubic sampling."""
Window = tuple[int, int, int, int]


def degraded(batch: Batch) -> Batch:
    """Return a batch of floats in [0, 1] with its exposures rendered and its extra blur added.

    Noise and JPEG artefacts are then added to `blur`.
    """
    batch = blurred(rendered(batch))
    blur = batch.blur
    if batch.noise is not None:
        blur = _as_8_bit(blur + batch.noise.float() / 255)
    if batch.quality is not None:
        some = max(1, CHUNK // blur[0].numel())
        parts = zip(blur.split(some), batch.quality.split(some), strict=True)  # type: ignore[no-untyped-call]
        blur = torch.cat([_compressed(frames, quality) for frames, quality in parts])
    return batch._replace(blur=blur, noise=None, quality=None)


def _compressed(blur: Tensor, quality: Tensor) -> Tensor:
    """Return frames (B, T, 3, H, W) with the artefacts of JPEG at the quality of each sample."""
    frames = jpeg_codec_differentiable(blur.flatten(0, 1), quality.repeat_interleave(blur.shape[1]))
    return _as_8_bit(frames.view_as(blur))


def blurred(batch: Batch) -> Batch:
    """Return a batch of floats in [0, 1] with its extra blur added and rounded to 8 bits.

    Samples are blurred one by one, as kernels of their own size are faster than padded kernels.
    """
    todo = batch.unblurred
    if todo is None:
        return batch
    height, width = batch.sharp.shape[-2:]
    layers = iter(todo.layer)
    for number, sample in enumerate(todo.sample):
        frames, kernel = todo.images[number] / 255, _middle(todo.kernel[number], todo.side[number], todo.side[number])
        blurry, sharp = frames[:-1], frames[-1]
        if todo.objects[number]:
            layer = next(layers)
            blurry, sharp = _covered(blurry, _filtered(layer[None], kernel)[0]), _covered(sharp, layer)
        else:
            blurry = _filtered(blurry, kernel)
        batch.blur[sample] = _as_8_bit(_middle(blurry, height, width))
        batch.sharp[sample] = _as_8_bit(_middle(sharp, height, width))
    return batch._replace(unblurred=None)


def _filtered(images: Tensor, kernel: Tensor) -> Tensor:
    return filter2d(images, kernel[None], border_type="reflect")


def _covered(images: Tensor, layer: Tensor) -> Tensor:
    """Return images (..., 3, h, w), covered by a layer (4, h, w): premultiplied RGB, and opacity."""
    return (1 - layer[3]) * images + layer[:3]


def _middle(images: Tensor, height: int, width: int) -> Tensor:
    """Return the middle of images (..., h, w)."""
    top, left = (images.shape[-2] - height) // 2, (images.shape[-1] - width) // 2
    return images[..., top : top + height, left : left + width]


def rendered(batch: Batch) -> Batch:
    """Return a batch of floats in [0, 1] whose unrendered exposures are rendered and rounded to 8 bits.

    Photos are rendered one by one, so that the result does not depend on the other samples of the batch.
    """
    todo = batch.unrendered
    if todo is None:
        return batch
    size = (batch.sharp.shape[-2], batch.sharp.shape[-1])
    maps = torch.split(todo.maps, [layers * exposures * steps for layers, exposures, steps in todo.shape])
    objects = torch.split(todo.objects, [layers - 1 for layers, _, _ in todo.shape])
    for number, sample in enumerate(todo.sample):
        layers = [image[None] / 255 for image in (todo.photo[number], *objects[number])]
        places, windows = maps[number].view(*todo.shape[number], 2, 3), todo.windows[number]
        batch.blur[sample] = _blurry(layers, places, windows, todo.response[number], size)
        batch.sharp[sample] = _sharp(layers, places, windows, size)
    return batch._replace(unrendered=None)


def _sharp(layers: list[Tensor], maps: Tensor, windows: list[Window], size: tuple[int, int]) -> Tensor:
    """Return the middle sub-frame (3, H, W) of the first exposure."""
    _, exposures, steps = maps.shape[:3]
    middle = maps[:, 0, steps // 2, None]
    return _as_8_bit(_sub_frames(layers, middle, windows[::exposures], size, "bicubic")[0])


def _blurry(
    layers: list[Tensor], maps: Tensor, windows: list[Window], response: Response, size: tuple[int, int]
) -> Tensor:
    """Return the exposures (T, 3, H, W) of layers (1, C, h, w); `maps` are (L, T, S, 2, 3).

    Light is represented by its square root, as interpolation would be less accurate in linear light.
    """
    _, exposures, steps = maps.shape[:3]
    fine = [_finer(_root_of_light(layer, response)) for layer in layers]
    blur = []
    for number in range(exposures):
        total = maps.new_zeros(3, *size)
        for some in torch.split(maps[:, number], max(1, CHUNK // total.numel()), dim=1):
            frames = _sub_frames(fine, FINER * some, windows[number::exposures], size, "bilinear")
            total += (frames if response is None else frames.square_()).sum(0)
        blur.append(_to_display(total / steps, response))
    return _as_8_bit(torch.stack(blur))


def _finer(image: Tensor) -> Tensor:
    size = [FINER * (side - 1) + 1 for side in image.shape[-2:]]
    return F.interpolate(image, size, mode="bicubic", align_corners=True).clamp_(0, 1)


def _sub_frames(layers: list[Tensor], maps: Tensor, windows: list[Window], size: tuple[int, int], mode: str) -> Tensor:
    """Return sub-frames (S, 3, H, W) of the photo, covered by the objects; `maps` are (L, S, 2, 3)."""
    frames = _warped(layers[0], maps[0], (0, 0, size[1], size[0]), mode, "reflection")
    for layer, places, window in zip(layers[1:], maps[1:], windows, strict=True):
        left, top, right, bottom = window
        if left < right and top < bottom:
            seen = _warped(layer, places, window, mode, "zeros")
            frames[..., top:bottom, left:right].lerp_(seen[:, :3], seen[:, 3:].clamp(0, 1))
    return frames


def _warped(image: Tensor, maps: Tensor, window: Window, mode: str, border: str) -> Tensor:
    """Return the pixels of a window of the sub-frames (S, C, H, W); `maps` (S, 2, 3) lead from them to the image."""
    left, top, right, bottom = window
    # `grid_sample` expects coordinates from -1 to 1; converting the maps is faster than converting every pixel.
    size = maps.new_tensor([image.shape[-1] - 1, image.shape[-2] - 1])
    unit = 2 * maps / size[:, None] - maps.new_tensor([0, 0, 1])
    x = torch.arange(left, right, device=maps.device)
    y = torch.arange(top, bottom, device=maps.device)[:, None]
    rows = unit[..., None, None].unbind(1)
    grid = maps.new_empty(len(maps), bottom - top, right - left, 2)
    for row, coordinates in zip(rows, grid.unbind(-1), strict=True):
        torch.add(row[:, 0] * x, row[:, 1] * y + row[:, 2], out=coordinates)
    return F.grid_sample(image.expand(len(maps), -1, -1, -1), grid, mode, border, align_corners=True)


def _root_of_light(image: Tensor, response: Response) -> Tensor:
    """Return colours as the square root of their light; without `response`, stored values are averaged as they are."""
    if response is None:
        return image
    colours = image[:, :3]
    root = rgb_to_linear_rgb(colours).sqrt() if response == "srgb" else colours ** (response / 2)
    return torch.cat([root, image[:, 3:]], dim=1)


def _to_display(light: Tensor, response: Response) -> Tensor:
    if response is None:
        return light
    return linear_rgb_to_rgb(light) if response == "srgb" else light ** (1 / response)


def _as_8_bit(images: Tensor) -> Tensor:
    return images.clamp(0, 1).mul_(255).round_().div_(255)
