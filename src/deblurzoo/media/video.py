"""Reading videos frame by frame."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image

ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
"""How to convert colours: swscale's own choice is fast and off by up to 4 levels."""
_HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of ITU-T H.273 whose values are no display values."""


@dataclass(frozen=True)
class Video:
    """How many frames a video has, their size in pixels as shown, and how many are taken in a second."""

    frames: int
    width: int
    height: int
    fps: float


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        with av.open(str(path)) as container:
            yield container, video_stream(container, path)
    except av.FFmpegError as error:
        raise unreadable(path, error) from error


def inspect_video(path: Path) -> Video:
    """Read the packets of a video, without decoding more than its first frame.

    Raises:
        DeblurzooError: it is no video, cut off, HDR, or of a variable frame rate.
    """
    with _opened(path) as (container, stream):
        times, found, cut_off = [], 0, False
        for packet in container.demux(stream):
            if packet.size:
                found += 1
                cut_off |= packet.is_corrupt
                times += [] if packet.is_discard else [packet.pts]  # an edit list may hide some
        if cut_off or found < _promised(stream):
            raise DeblurzooError(f"{path} is cut off after {found} frames: copy it again")
        _require_constant_rate(path, stream, times)
        if curve := _HDR.get(stream.codec_context.color_trc):
            raise DeblurzooError(f"{path} is HDR video ({curve}): convert it to SDR first")
    with _opened(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise DeblurzooError(f"{path} has no frames: give another file")
        height, width = _picture(first).shape[:2]
        return Video(len(times), width, height, round(float(stream.average_rate or stream.guessed_rate or 0), 3))


def read_video(path: Path) -> Iterator[Callable[[], Image]]:
    """Decode a video and yield for each frame what returns it as (H, W, 3) RGB uint8, if it is wanted.

    Colours follow the matrix and the range that the video names; BT.601 and limited range where it names none.

    Raises:
        DeblurzooError: the video is damaged.
    """
    with _opened(path) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            if frame.is_corrupt:
                raise DeblurzooError(f"{path}: frame {number} is damaged: copy or convert it again")
            yield partial(_picture, frame)


def _picture(frame: av.VideoFrame) -> Image:
    """Convert a frame to RGB and turn it as it is meant to be seen."""
    image = frame.reformat(format="rgb24", interpolation=ACCURATE).to_ndarray()
    return np.ascontiguousarray(np.rot90(image, frame.rotation // 90), np.uint8)


def _promised(stream: VideoStream) -> int:
    """Return how many frames the head of the file says there are, or less."""
    if stream.frames:
        return stream.frames
    return int(promised_seconds(stream) * float(stream.average_rate or 0)) - 1


def _require_constant_rate(path: Path, stream: VideoStream, times: list[int | None]) -> None:
    """Raise unless frames follow each other evenly, within a tenth and the rounding of the file's clock."""
    known = sorted(time for time in times if time is not None)
    if len(known) < max(3, len(times)):  # raw streams have no clock
        return
    gaps = [later - earlier for earlier, later in pairwise(known)]
    usual, tick = median(gaps), float((stream.time_base or 1) * 1000)
    for number, gap in enumerate(gaps, start=1):
        if abs(gap - usual) > 0.1 * usual + 1:
            raise DeblurzooError(
                f"{path} has a variable frame rate: frame {number} comes {gap * tick:.1f} ms after the one before, "
                f"others {usual * tick:.1f} ms: cut such places out, or convert it to a constant frame rate"
            )


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the best video of a file, ready to be decoded; raise a DeblurzooError if it has none."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise DeblurzooError(f"{path} has no video in it: give another file")
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"err_detect": "explode"}  # decoders hide damage otherwise
    return stream


def unreadable(path: Path, error: av.FFmpegError) -> DeblurzooError:
    """Return what is said of a file that FFmpeg cannot read."""
    return DeblurzooError(f"{path} cannot be read as a video ({error.strerror}): copy or convert it again")


def promised_seconds(stream: VideoStream) -> float:
    """Return how long Matroska's head says that the stream is; 0 in other containers."""
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "0:0:0").split(":")
        duration = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:  # somebody else's tag
        return 0.0
    return duration if math.isfinite(duration) else 0.0
