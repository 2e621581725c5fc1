"""What reading a video file takes, whatever is then done with its frames."""

import math
from pathlib import Path

import av
from av.container import InputContainer
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from deblurzoo.errors import DeblurzooError

ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
"""How to convert colours: swscale's own choice is fast and off by up to 4 levels."""


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
