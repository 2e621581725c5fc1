"""Restoration of videos, frame by frame. Time stamps, rotation, colour metadata and sound are preserved."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Stream
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import replace_atomically
from deblurzoo.media import Pixels
from deblurzoo.media.video import ACCURATE, promised_seconds, unreadable, video_stream
from deblurzoo.restore.restorer import Restorer

SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp")
)
"""Suffixes by which videos in folders are recognised. A video that is given by name may have any other suffix."""
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Containers for H.264 by suffix. For all other suffixes, Matroska is used, which supports all audio codecs."""
_FORMATS = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"} | {
    f"yuv{chroma}p{depth}": f"yuv{chroma}p{depth}" for chroma in (420, 422, 444) for depth in ("", "10le")
}
"""Pixel format of the result for each pixel format of the input. All other formats are converted to yuv420p."""
_MATRICES = {1: Colorspace.ITU709, 9: Colorspace.BT2020}
"""Colour matrices by number in ITU-T H.273. All other and undeclared matrices are read and written as BT.601."""
_ENCODER = {"crf": "14", "preset": "medium"}
_BYTES_PER_PIXEL = 160
"""Memory in bytes per pixel of a frame: about 60 frames in 4:2:0 in the decoder and the encoder, and the RGB frames
before and after the network."""
_NOT_TRUE_ANY_MORE = ("major_brand", "minor_version", "compatible_brands", "encoder", "ENCODER")


@dataclass(frozen=True)
class InputVideo:
    """Properties of a video as stored, before rotation for display."""

    path: Path
    frames: int
    """Number of frames; an estimate if the file does not declare it."""
    height: int
    width: int
    rotation: int
    """Rotation for display, in degrees counter-clockwise."""
    pix_fmt: str
    """Pixel format of the result."""
    matrix: int
    full_range: bool

    @property
    def deep(self) -> bool:
        """Whether the result has more than 8 bits per value."""
        return self.pix_fmt.endswith("10le")


def inspect(path: Path) -> InputVideo:
    """Return the properties of a video from its header and first frame.

    Raises:
        DeblurzooError: the file is not a video.
    """
    try:
        with av.open(str(path)) as container:
            stream = video_stream(container, path)
            first = next(container.decode(stream), None)
            if first is None:
                raise DeblurzooError(f"{path} contains no frames: choose another file")
            odd = first.width % 2 or first.height % 2  # subsampled chroma requires even sides
            return InputVideo(
                path=path,
                frames=stream.frames or round(promised_seconds(stream) * float(stream.average_rate or 0)),
                height=first.height,
                width=first.width,
                rotation=first.rotation,
                pix_fmt="yuv444p" if odd else _FORMATS.get(first.format.name, "yuv420p"),
                matrix=first.colorspace,
                full_range=first.color_range == ColorRange.JPEG or first.format.name.startswith("yuvj"),
            )
    except av.FFmpegError as error:
        raise unreadable(path, error) from error


def _is_cut_off(stream: VideoStream, packets: int, end: int) -> bool:
    """Whether a video is shorter than its header declares. MP4 and MOV declare packets; Matroska declares seconds."""
    if "mp4" in stream.container.format.name:
        return packets < stream.frames
    return end * (stream.time_base or 0) < promised_seconds(stream) - 2 / float(stream.average_rate or 1)


def target_of(path: Path) -> Path:
    """Return the path of a video's result: `path`, with `.mkv` appended if its suffix has no container for H.264."""
    return path if path.suffix.lower() in _CONTAINERS else path.with_name(f"{path.name}.mkv")


def restore_video(
    source: InputVideo, target: Path, restorer: Restorer, on_frame: Callable[[], None], compare: Path | None = None
) -> int:
    """Restore a video and encode it as H.264 (crf 14), with 10 bits per value if the input is 10-bit YUV.

    Sound is copied, and subtitles are dropped. The first frame is also used as its own previous frame, and the last
    frame as its own next frame.

    Args:
        source: the input, from `inspect`.
        target: path of the result, from `target_of`; written atomically.
        restorer: the network.
        on_frame: called after each frame.
        compare: path of an additional video that shows blurry and restored frames side by side, without sound.

    Returns:
        The number of frames.

    Raises:
        DeblurzooError: the video is corrupt or truncated, or the result cannot be written. No result is kept.
    """

    frames = 0

    def count() -> None:
        nonlocal frames
        frames += 1
        on_frame()

    def write(file: BinaryIO, beside: BinaryIO | None = None) -> None:
        try:
            _restore(source, restorer, count, file, target, beside)
        except av.FFmpegError as error:
            raise unreadable(source.path, error) from error

    if compare is None:
        replace_atomically(target, write)
    else:
        replace_atomically(compare, lambda beside: replace_atomically(target, lambda file: write(file, beside)))
    return frames


def _restore(
    source: InputVideo,
    restorer: Restorer,
    on_frame: Callable[[], None],
    file: BinaryIO,
    name: Path,
    beside: BinaryIO | None,
) -> None:
    with ExitStack() as stack:
        container = stack.enter_context(av.open(str(source.path)))
        stream = video_stream(container, source.path)
        sound = list(container.streams.audio)
        writer = stack.enter_context(Writer(file, name, source, stream, sound))
        comparison = stack.enter_context(Writer(beside, name, source, stream, [], across=2)) if beside else None
        waiting = deque[tuple[int, int, Pixels]]()  # the restorer reads one frame ahead

        def frames() -> Iterator[Pixels]:
            packets = count = end = 0
            for packet in container.demux(stream, *sound):
                if packet.stream is not stream:
                    writer.copy(packet)
                    continue
                packets += packet.size > 0
                end = max(end, (packet.pts or 0) + (packet.duration or 0))
                for frame in stream.decode(packet):
                    if frame.is_corrupt:
                        raise DeblurzooError(f"{source.path}: frame {count} is corrupt: copy or convert it again")
                    image = _pixels(frame, source)
                    waiting.append((_time(frame, count, stream), frame.duration, image))
                    count += 1
                    yield image
            if _is_cut_off(stream, packets, end):
                raise DeblurzooError(f"{source.path} is truncated after {packets} frames: copy it again")

        for restored in restorer.stream(frames(), extra=_BYTES_PER_PIXEL * source.height * source.width):
            time, duration, blurry = waiting.popleft()
            writer.write(restored, time, duration)
            if comparison is not None:
                comparison.write(_beside(blurry, restored, source.rotation), time, duration)
            on_frame()


def _pixels(frame: av.VideoFrame, source: InputVideo) -> Pixels:
    """Return a frame as RGB (H, W, 3) in its stored orientation."""
    return frame.reformat(
        format="rgb48le" if source.deep else "rgb24",
        src_colorspace=_MATRICES.get(source.matrix, Colorspace.ITU601),
        src_color_range=ColorRange.JPEG if source.full_range else ColorRange.MPEG,
        interpolation=ACCURATE,
    ).to_ndarray()


def _time(frame: av.VideoFrame, number: int, stream: VideoStream) -> int:
    """Return a frame's time in ticks of the stream; estimated from the frame rate if the frame has no time stamp."""
    if frame.pts is not None:
        return frame.pts
    return round(number / ((stream.average_rate or stream.guessed_rate or 25) * (stream.time_base or 1)))


def _beside(blurry: Pixels, restored: Pixels, rotation: int) -> Pixels:
    """Join two stored frames so that they are displayed side by side."""
    quarters = rotation // 90
    pair = np.concatenate([np.rot90(frame, quarters) for frame in (blurry, restored)], axis=1)
    return np.ascontiguousarray(np.rot90(pair, -quarters))


class Writer:
    """Writer of an H.264 video that keeps the time stamps, rotation, colour metadata and sound of the input."""

    def __init__(
        self,
        file: BinaryIO,
        name: Path,
        source: InputVideo,
        stream: VideoStream,
        audio: list[AudioStream],
        across: int = 1,
    ) -> None:
        self.source = source
        self.container: OutputContainer = av.open(file, "w", format=_CONTAINERS[name.suffix.lower()])
        self.container.metadata.update(
            {k: v for k, v in stream.container.metadata.items() if k not in _NOT_TRUE_ANY_MORE}
        )
        rate = stream.average_rate or stream.guessed_rate or 25
        self.stream = self.container.add_stream("libx264", rate=rate, options=_ENCODER)
        turned = source.rotation % 180 != 0
        self.stream.width = source.width * (1 if turned else across)
        self.stream.height = source.height * (across if turned else 1)
        self.stream.pix_fmt = source.pix_fmt
        ticks = stream.time_base or 1 / Fraction(rate)
        self.stream.time_base = self.stream.codec_context.time_base = ticks
        if source.rotation:
            self.stream.set_display_rotation(source.rotation)
        theirs, ours = stream.codec_context, self.stream.codec_context
        if theirs.sample_aspect_ratio:
            ours.sample_aspect_ratio = theirs.sample_aspect_ratio
        ours.color_primaries, ours.color_trc, ours.colorspace = (
            theirs.color_primaries,
            theirs.color_trc,
            theirs.colorspace,
        )
        ours.color_range = ColorRange.JPEG if source.full_range else theirs.color_range
        self.audio = {track.index: self.container.add_stream_from_template(track) for track in audio}

    def write(self, image: Pixels, pts: int, duration: int) -> None:
        """Encode a frame (H, W, 3) at time `pts`, in ticks of the input stream."""
        frame = av.VideoFrame.from_ndarray(image, format="rgb48le" if self.source.deep else "rgb24").reformat(
            format=self.source.pix_fmt,
            dst_colorspace=_MATRICES.get(self.source.matrix, Colorspace.ITU601),
            dst_color_range=ColorRange.JPEG if self.source.full_range else ColorRange.MPEG,
            interpolation=ACCURATE,
        )
        frame.pts, frame.time_base, frame.duration = pts, self.stream.codec_context.time_base, duration
        self.container.mux(self.stream.encode(frame))

    def copy(self, packet: "av.Packet[Stream]") -> None:
        """Copy a sound packet. The empty packet at the end of a stream is skipped."""
        if packet.dts is None:
            return
        packet.stream = self.audio[packet.stream.index]
        self.container.mux(packet)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        """Flush the encoder if no error occurred, and close the file."""
        if failure is None:
            self.container.mux(self.stream.encode())
        self.container.close()
