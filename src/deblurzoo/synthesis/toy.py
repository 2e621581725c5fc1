"""Toy data in GOPRO's layout: a simulated high-frame-rate camera moves over real photos."""

import json
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
import sklearn.datasets
from numpy.typing import NDArray
from rich.progress import track

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import unfinished, write_atomically
from deblurzoo.media.images import read_image, write_png
from deblurzoo.media.threads import in_threads, require_awaited
from deblurzoo.synthesis.exposure import write_motion
from deblurzoo.synthesis.formation import expose
from deblurzoo.synthesis.motion import Trajectory, blob, hand_shake
from deblurzoo.synthesis.options import CAMERA_GAMMA, ToyOptions
from deblurzoo.synthesis.scene import Layer, render, true_flow

_SKIMAGE = Path(skimage.data.__file__).parent
_SKLEARN = Path(sklearn.datasets.__file__).parent / "images"
PHOTOGRAPHS = {
    "train": (
        *(_SKIMAGE / name for name in ("brick.png", "camera.png", "chelsea.png", "coins.png", "gravel.png")),
        *(_SKIMAGE / name for name in ("hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "retina.jpg")),
        _SKIMAGE / "rocket.jpg",
        _SKLEARN / "china.jpg",
        _SKLEARN / "flower.jpg",
    ),
    "test": (_SKIMAGE / "astronaut.png", _SKIMAGE / "coffee.png"),
}
"""Photos in the wheels of scikit-image and scikit-learn; each photo is in only one split."""


def _photograph(rng: np.random.Generator, paths: tuple[Path, ...], side: int) -> NDArray[np.float32]:
    """Return a random photo, downscaled to be sharp.

    Its shorter side is 1.2 to 2.4 times `side`, or less if the photo is small.
    """
    photo = read_image(paths[rng.integers(len(paths))])
    factor = min(0.75, side * rng.uniform(1.2, 2.4) / min(photo.shape[:2]))
    small = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    turned = small[:, ::-1] if rng.random() < 0.5 else small
    return np.ascontiguousarray(turned, dtype=np.float32)


def _background(rng: np.random.Generator, paths: tuple[Path, ...], size: tuple[int, int], camera: Trajectory) -> Layer:
    photo = _photograph(rng, paths, min(size))
    height, width = photo.shape[:2]
    opaque = np.dstack([photo, np.ones((height, width), np.float32)])
    margin = np.minimum([width / 2, height / 2], [0.55 * size[1], 0.55 * size[0]])
    centre = rng.uniform(margin, np.array([width, height]) - margin)
    return Layer(opaque, camera, centre, cv2.BORDER_REFLECT_101)


def _object(
    rng: np.random.Generator, paths: tuple[Path, ...], size: tuple[int, int], camera: Trajectory, own: Trajectory
) -> Layer:
    """Return a round patch of a photo with soft edges. Its motion is the sum of `camera` and `own`."""
    photo = _photograph(rng, paths, min(size))
    side = int(min(*photo.shape[:2], min(size) * rng.uniform(0.3, 0.6)))
    top, left = (int(rng.integers(0, extent - side + 1)) for extent in photo.shape[:2])
    patch = np.dstack([photo[top : top + side, left : left + side], blob(rng, side)])
    place = (rng.uniform(0.2, 0.8, 2) - 0.5) * np.array([size[1], size[0]])
    moving = Trajectory(camera.shift + own.shift, camera.rotation + own.rotation, camera.zoom * own.zoom)
    return Layer(patch, moving, np.array([side / 2, side / 2]) - place, cv2.BORDER_CONSTANT)


def _write_clip(root: Path, options: ToyOptions, clip: tuple[str, int]) -> None:
    split, index = clip
    folder, paths = root / split / f"TOY_{split}_{index:03d}", PHOTOGRAPHS[split]
    rng = np.random.default_rng([options.seed, ("train", "test").index(split), index])
    exposure = int(rng.choice([7, 9, 11, 13]))
    steps, size = exposure * options.frames, (options.height, options.width)
    camera = hand_shake(rng, steps, exposure, rng.uniform(options.min_blur, options.max_blur))
    layers = [_background(rng, paths, size, camera)]
    for _ in range(rng.integers(0, 3)):
        own = hand_shake(rng, steps, exposure, rng.uniform(options.min_blur, options.max_blur))
        layers.append(_object(rng, paths, size, camera, own))
    middle = exposure // 2
    for number in range(options.frames):
        require_awaited()
        frames = [render(layers, number * exposure + i, size) for i in range(exposure)]
        name = f"{number + 1:06d}.png"
        write_png(folder / "sharp" / name, frames[middle])
        write_png(folder / "blur" / name, expose(frames))
        write_png(folder / "blur_gamma" / name, expose(frames, CAMERA_GAMMA))
        if options.flow and number + 1 < options.frames:
            flow = true_flow(layers, number * exposure + middle, (number + 1) * exposure + middle, size)
            write_motion(folder, "flow", number + 1, flow)


def write_toy(out: Path, options: ToyOptions) -> None:
    """Write `out/{train,test}/CLIP/{blur,blur_gamma,sharp}/NNNNNN.png` and `out/toy.json`.

    Each blurry frame is the average of 7, 9, 11 or 13 consecutive sub-frames; this number is drawn per clip. The middle
    sub-frame is the sharp frame. `blur` averages the stored values; `blur_gamma` averages in linear light. If `flow` is
    set, `flow/NNNNNN.npy` is also written. `out` appears only when it is complete.

    Raises:
        DeblurzooError: `out` exists already, or cannot be written.
    """
    if out.exists():
        raise DeblurzooError(f"{out} exists already: remove it or give another --out")
    begun = unfinished(out)
    shutil.rmtree(begun, ignore_errors=True)
    clips = [("train", i) for i in range(options.train_clips)] + [("test", i) for i in range(options.test_clips)]
    try:
        written = in_threads(partial(_write_clip, begun, options), clips)
        for _ in track(written, total=len(clips), description="toy clips"):
            pass
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise
    content: dict[str, Any] = {
        "options": asdict(options),
        "photographs": {split: [path.name for path in paths] for split, paths in PHOTOGRAPHS.items()},
    }
    write_atomically(begun / "toy.json", json.dumps(content, indent=2).encode())
    begun.rename(out)
