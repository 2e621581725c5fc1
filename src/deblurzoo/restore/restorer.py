"""A trained network as a function from blurry to restored images."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import get_args, overload

import numpy as np
import torch
from torch import Tensor

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Floats, Pixels
from deblurzoo.nets.base import DeblurNet, restore_any_size
from deblurzoo.ops.bfloat16 import has_bfloat16
from deblurzoo.restore import Device, Precision
from deblurzoo.restore.memory import DEFAULT, Need, free, measure, used
from deblurzoo.restore.tiles import LEAST, Grid, blended, grid_for

_WHITE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


class Restorer:
    """A trained network as a function that restores images and frames of any size, in tiles if memory is insufficient.

    Args:
        net: the network.
        device: `auto` uses an NVIDIA or AMD GPU if available, `mps` an Apple GPU.
        precision: `bf16` computes convolutions in bfloat16, `fast` does so if the device has bfloat16 instructions.
        memory: memory limit in bytes, for this process or, on a GPU, for its tensors. The limit covers the image being
            restored, but not other images of the caller. None sets it to the memory in use plus 2 GB, or more for
            images that need more, but at most 80 % of the free memory; on a GPU, always 80 % of the free memory.
        self_ensemble: restore eight flips and rotations of each image, and return their mean; see `restore_any_size`.

    Raises:
        DeblurzooError: an argument is invalid, or `cuda` or `mps` is requested without such a GPU.
    """

    def __init__(
        self,
        net: DeblurNet,
        device: Device = "auto",
        precision: Precision = "fp32",
        memory: int | None = None,
        self_ensemble: bool = False,
    ) -> None:
        for name, value, kind in (("device", device, Device), ("precision", precision, Precision)):
            if value not in get_args(kind):
                raise DeblurzooError(f"{name}={value!r} is unknown: choose one of {', '.join(get_args(kind))}")
        if memory is not None and (not isinstance(memory, int) or memory <= 0):
            raise DeblurzooError(f"memory={memory!r} must be a positive number of bytes, such as 2 * 10**9")
        if device == "cuda" and not torch.cuda.is_available():
            raise DeblurzooError("device=cuda requires a GPU, but torch finds none: use cpu or auto")
        if device == "mps" and not torch.backends.mps.is_available():
            raise DeblurzooError("device=mps requires an Apple GPU, but torch finds none: use cpu or auto")
        wanted = "cuda" if device == "auto" and torch.cuda.is_available() else device
        self.device = torch.device("cpu" if wanted == "auto" else wanted)
        self.low = precision == "bf16" or (precision == "fast" and has_bfloat16(self.device.type))
        self.memory, self.self_ensemble = memory, self_ensemble
        self.net = net.eval().to(self.device)
        self._need: Need | None = None
        if memory is not None:  # measured before images occupy memory
            self._measured()

    @property
    def frames(self) -> int:
        """Number of frames that the network reads. Their order is the frame itself, the next and the previous frame."""
        return self.net.frames

    @overload
    def __call__(self, picture: Pixels) -> Pixels: ...

    @overload
    def __call__(self, picture: Sequence[Pixels]) -> list[Pixels]: ...

    def __call__(self, picture: Pixels | Sequence[Pixels]) -> Pixels | list[Pixels]:
        """Return the restored image, or a list of restored consecutive frames.

        Args:
            picture: an RGB image (H, W, 3), uint8, uint16 or float in [0, 1]; or a list of consecutive frames of the
                same shape and dtype.

        Returns:
            The restored image or frames, with the shape, dtype and range of the input. A frame is used in place of its
            missing neighbours: a single image has no neighbours, the first frame has no previous frame, and the last
            frame has no next frame.

        Raises:
            DeblurzooError: the shape, dtype or range is not supported, or the memory is insufficient.
        """
        if isinstance(picture, np.ndarray):
            return self.restore(picture)
        if not isinstance(picture, list | tuple) or not all(isinstance(frame, np.ndarray) for frame in picture):
            raise DeblurzooError(f"a {type(picture).__name__} is not an image: pass a NumPy array or a list of arrays")
        return list(self.stream(picture))

    def stream(self, frames: Iterable[Pixels], extra: int = 0) -> Iterator[Pixels]:
        """Yield the restored frames. At most three input frames are held in memory. For `extra`, see `restore`."""
        previous = current = None
        for following in chain(frames, (None,)):
            if current is not None:
                yield self.restore(current, following, previous, extra)
            previous, current = current, following

    def restore(
        self,
        frame: Pixels,
        following: Pixels | None = None,
        previous: Pixels | None = None,
        extra: int = 0,
        on_tile: Callable[[], None] = lambda: None,
    ) -> Pixels:
        """Return the restored frame.

        The frame is used in place of missing neighbours. Neighbours that the network does not read are ignored.

        Args:
            frame, following, previous: the frame to restore, its next and its previous frame, each as in `__call__`.
            extra: bytes of the memory limit that are reserved for the caller.
            on_tile: called after each tile.
        """
        neighbours = [frame if other is None else other for other in (following, previous)]
        seen = [frame, *neighbours][: self.frames]
        _require_frames(seen)
        height, width = frame.shape[:2]
        white = _WHITE.get(frame.dtype, 1)

        def restore_tile(rows: slice, columns: slice) -> Floats:
            tile = np.stack([other[rows, columns] for other in seen]).astype(np.float32) / np.float32(white)
            restored = self._run(torch.from_numpy(tile).permute(0, 3, 1, 2)[None])
            on_tile()
            return restored[0].permute(1, 2, 0).cpu().numpy()

        result = np.empty_like(frame, order="C")
        for rows, values in blended(self.grid(height, width, frame.itemsize, extra), restore_tile):
            np.clip(values, 0, 1, out=values)
            result[rows] = values if white == 1 else np.rint(values * np.float32(white))
        return result

    def grid(self, height: int, width: int, itemsize: int = 1, extra: int = 0) -> Grid:
        """Return the tiles of an image with `itemsize` bytes per value.

        Raises:
            DeblurzooError: even the smallest tiles exceed the memory limit.
        """
        size = height * width
        multiple = self.net.size_multiple
        if size <= LEAST**2:
            return grid_for(height, width, math.inf, multiple)
        need = self._measured()
        # Memory in addition to the tile: the frames, the result, and a copy of the result for encoding.
        held = need.base + extra
        held += 0 if self.device.type == "cuda" else size * (3 * itemsize * (self.frames + 2) + 4)
        least = held + 2 * LEAST**2 * need.per_pixel
        memory = self.memory or self._default(least)
        side = math.sqrt(max(memory - held, 0) / need.per_pixel)
        strip = 0 if self.device.type == "cuda" else 24 * max(height, width) * side  # two float strips, see `blended`
        pixels = (memory - held - min(strip, (memory - held) / 2)) / need.per_pixel
        if pixels < LEAST**2:
            raise DeblurzooError(
                f"an image of {width}x{height} needs about {least / 1e9:.1f} GB, but the memory limit is "
                f"{memory / 1e9:.3f} GB: increase the memory limit, or downscale the image"
            )
        return grid_for(height, width, pixels, multiple)

    def _default(self, least: float) -> int:
        """Return the default memory limit in bytes for an image that needs at least `least` bytes."""
        now = used(self.device)
        available = now + int(0.8 * free(self.device))
        return available if self.device.type == "cuda" else min(available, max(now + DEFAULT, int(least)))

    def _measured(self) -> Need:
        if self._need is None:
            self._need = measure(self._run, self.frames, self.device)
        return self._need

    def _run(self, blur: Tensor) -> Tensor:
        """Return (1, 3, H, W) float32, restored from (1, T, 3, H, W) in [0, 1]."""
        low = torch.autocast(self.device.type, torch.bfloat16) if self.low else nullcontext()
        try:
            with torch.inference_mode(), low:
                return restore_any_size(self.net, blur.to(self.device), self.self_ensemble)
        except torch.OutOfMemoryError as error:
            raise DeblurzooError(
                f"the GPU has too little memory for a tile of {blur.shape[-1]}x{blur.shape[-2]}: lower the memory limit"
            ) from error


def _require_frames(frames: Sequence[Pixels]) -> None:
    for frame in frames:
        if frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise DeblurzooError(f"an image has shape {frame.shape}: pass (H, W, 3) RGB")
        if frame.shape != frames[0].shape or frame.dtype != frames[0].dtype:
            raise DeblurzooError(
                f"consecutive frames differ: {frames[0].shape} {frames[0].dtype} and {frame.shape} {frame.dtype}: "
                "pass frames of the same shape and dtype"
            )
        if frame.dtype in _WHITE:
            continue
        if not np.issubdtype(frame.dtype, np.floating):
            raise DeblurzooError(f"an image has dtype {frame.dtype}: pass uint8, uint16 or floats in [0, 1]")
        if not (frame.min() >= 0 and frame.max() <= 1):  # also rejects NaN
            raise DeblurzooError(f"an image of floats ranges from {frame.min()} to {frame.max()}: scale it to [0, 1]")
