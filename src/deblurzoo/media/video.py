"""Reading of videos frame by frame."""

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
"""Flags for colour conversion. The default of swscale is faster, but its results are off by up to 4 levels."""
_HDR = {16: "PQ", 18: "HLG"}
"""HDR transfer characteristics, by number in ITU-T H.273."""


@dataclass(frozen=True)
class Video:
    """Properties of a video: number of frames, displayed size in pixels, and frames per second."""

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
    """Return the properties of a video; all packets are read, but only the first frame is decoded.

    Raises:
        DeblurzooError: the file is not a video, is truncated or HDR, or has a variable frame rate.
    """
    with _opened(path) as (container, stream):
        times, found, cut_off = [], 0, False
        for packet in container.demux(stream):
            if packet.size:
                found += 1
                cut_off |= packet.is_corrupt
                times += [] if packet.is_discard else [packet.pts]  # an edit list may hide frames
        if cut_off or found < _promised(stream):
            raise DeblurzooError(f"{path} is truncated after {found} frames: copy it again")
        _require_constant_rate(path, stream, times)
        if curve := _HDR.get(stream.codec_context.color_trc):
            raise DeblurzooError(f"{path} is HDR video ({curve}): convert it to SDR first")
    with _opened(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise DeblurzooError(f"{path} contains no frames: choose another file")
        height, width = _picture(first).shape[:2]
        return Video(len(times), width, height, round(float(stream.average_rate or stream.guessed_rate or 0), 3))


def read_video(path: Path) -> Iterator[Callable[[], Image]]:
    """Yield one function per frame. When called, it converts the decoded frame to (H, W, 3) RGB uint8.

    Colours are converted with the matrix and range that the video declares, by default BT.601 and limited range.

    Raises:
        DeblurzooError: the video is corrupt.
    """
    with _opened(path) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            if frame.is_corrupt:
                raise DeblurzooError(f"{path}: frame {number} is corrupt: copy or convert it again")
            yield partial(_picture, frame)


def _picture(frame: av.VideoFrame) -> Image:
    """Return a frame in RGB, rotated for display."""
    image = frame.reformat(format="rgb24", interpolation=ACCURATE).to_ndarray()
    return np.ascontiguousarray(np.rot90(image, frame.rotation // 90), np.uint8)


def _promised(stream: VideoStream) -> int:
    """Return a lower bound of the number of frames, according to the file's header."""
    if stream.frames:
        return stream.frames
    return int(promised_seconds(stream) * float(stream.average_rate or 0)) - 1


def _require_constant_rate(path: Path, stream: VideoStream, times: list[int | None]) -> None:
    """Raise a DeblurzooError unless frame intervals are equal to within 10 % and the rounding of time stamps."""
    known = sorted(time for time in times if time is not None)
    if len(known) < max(3, len(times)):  # raw streams have no time stamps
        return
    gaps = [later - earlier for earlier, later in pairwise(known)]
    usual, tick = median(gaps), float((stream.time_base or 1) * 1000)
    for number, gap in enumerate(gaps, start=1):
        if abs(gap - usual) > 0.1 * usual + 1:
            raise DeblurzooError(
                f"{path} has a variable frame rate: frame {number} comes {gap * tick:.1f} ms after the previous frame, "
                f"but the usual gap is {usual * tick:.1f} ms: cut out such parts, or convert to a constant frame rate"
            )


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the best video stream of a file, ready to be decoded; raise a DeblurzooError if the file has none."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise DeblurzooError(f"{path} contains no video stream: choose another file")
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"err_detect": "explode"}  # by default, decoders conceal errors
    return stream


def unreadable(path: Path, error: av.FFmpegError) -> DeblurzooError:
    """Return the error to raise for a file that FFmpeg cannot read."""
    return DeblurzooError(f"{path} cannot be read as a video ({error.strerror}): copy or convert it again")


def promised_seconds(stream: VideoStream) -> float:
    """Return the duration in seconds that a Matroska header declares for a stream; 0 for any other container."""
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "0:0:0").split(":")
        duration = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:  # the tag is not a duration
        return 0.0
    return duration if math.isfinite(duration) else 0.0
