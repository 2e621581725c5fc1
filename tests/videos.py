"""Small videos for tests."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace

from deblurzoo.media import Image


def moving(count: int, height: int = 48, width: int = 64, step: int = 1) -> list[Image]:
    """Return frames of a textured plane that moves to the left by `step` pixels per frame."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (height // 8, (width + count * step) // 8 + 1, 3), dtype=np.uint8)
    plane = small.repeat(8, axis=0).repeat(8, axis=1)
    return [np.ascontiguousarray(plane[:, i * step : i * step + width]) for i in range(count)]


def write_video(
    path: Path,
    frames: Sequence[Image],
    fps: int = 240,
    times: Sequence[int] | None = None,
    matrix: Colorspace | None = None,
) -> Path:
    """Encode frames as H.264 with the header first; `times` in frames, `matrix` as declared in the file."""
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "1"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=matrix or Colorspace.ITU601
            )
            frame.pts = number if times is None else times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
