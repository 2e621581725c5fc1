"""Videos frame by frame: time stamps, rotation, colours and sound of the result are the source's."""

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
"""What is taken from folders; a file that is named may have any other."""
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""What H.264 is written to; all others become Matroska, which holds any sound."""
_FORMATS = {"yuvj420p": "yuv420p", "yuvj422p": "yuv422p", "yuvj444p": "yuv444p"} | {
    f"yuv{chroma}p{depth}": f"yuv{chroma}p{depth}" for chroma in (420, 422, 444) for depth in ("", "10le")
}
"""Pixel formats that libx264 writes, by those they are for; all others become yuv420p."""
_MATRICES = {1: Colorspace.ITU709, 9: Colorspace.BT2020}
"""By number of ITU-T H.273; all others, also where the file names none, are read and written as BT.601."""
_ENCODER = {"crf": "14", "preset": "medium"}
_BYTES_PER_PIXEL = 160
"""What decoder and encoder hold: some 60 frames of 4:2:0 and the pictures around the network."""
_NOT_TRUE_ANY_MORE = ("major_brand", "minor_version", "compatible_brands", "encoder", "ENCODER")


@dataclass(frozen=True)
class InputVideo:
    """A video as it is stored, before it is turned for showing."""

    path: Path
    frames: int
    """An estimate where the file does not say."""
    height: int
    width: int
    rotation: int
    """Degrees, counter-clockwise, by which it is turned for showing."""
    pix_fmt: str
    """Of the result."""
    matrix: int
    full_range: bool

    @property
    def deep(self) -> bool:
        """Whether it has more than 8 bit."""
        return self.pix_fmt.endswith("10le")


def inspect(path: Path) -> InputVideo:
    """Decode the first frame.

    Raises:
        DeblurzooError: it is no video.
    """
    try:
        with av.open(str(path)) as container:
            stream = video_stream(container, path)
            first = next(container.decode(stream), None)
            if first is None:
                raise DeblurzooError(f"{path} has no frames: give another file")
            odd = first.width % 2 or first.height % 2  # halved chroma needs even sides
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
    """Whether less than the head promises was found: packets in MP4 and MOV, ticks up to the last one in Matroska."""
    if "mp4" in stream.container.format.name:
        return packets < stream.frames
    return end * (stream.time_base or 0) < promised_seconds(stream) - 2 / float(stream.average_rate or 1)


def target_of(path: Path) -> Path:
    """Return the name of a video's result: its own, or with `.mkv` behind it where H.264 does not belong there."""
    return path if path.suffix.lower() in _CONTAINERS else path.with_name(f"{path.name}.mkv")


def restore_video(
    source: InputVideo, target: Path, restorer: Restorer, on_frame: Callable[[], None], compare: Path | None = None
) -> int:
    """Restore a video to `target`, in H.264 at crf 14, in 10 bit where the source has more than 8; sound is copied.

    The first frame has no previous and the last one no next frame: they stand in for it. Subtitles are not copied.

    Args:
        source: from `inspect`.
        target: the result, with a suffix from `target_of`, written under a temporary name first.
        restorer: the network.
        on_frame: called after each frame.
        compare: where to write blurry and restored frames beside each other, without sound.

    Returns:
        How many frames there were.

    Raises:
        DeblurzooError: the video is damaged or cut off, or the result cannot be written; there is then none.
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
        waiting = deque[tuple[int, int, Pixels]]()  # the restorer looks one frame ahead

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
                        raise DeblurzooError(f"{source.path}: frame {count} is damaged: copy or convert it again")
                    image = _pixels(frame, source)
                    waiting.append((_time(frame, count, stream), frame.duration, image))
                    count += 1
                    yield image
            if _is_cut_off(stream, packets, end):
                raise DeblurzooError(f"{source.path} is cut off after {packets} frames: copy it again")

        for restored in restorer.stream(frames(), extra=_BYTES_PER_PIXEL * source.height * source.width):
            time, duration, blurry = waiting.popleft()
            writer.write(restored, time, duration)
            if comparison is not None:
                comparison.write(_beside(blurry, restored, source.rotation), time, duration)
            on_frame()


def _pixels(frame: av.VideoFrame, source: InputVideo) -> Pixels:
    """Return a frame as stored, (H, W, 3) RGB."""
    return frame.reformat(
        format="rgb48le" if source.deep else "rgb24",
        src_colorspace=_MATRICES.get(source.matrix, Colorspace.ITU601),
        src_color_range=ColorRange.JPEG if source.full_range else ColorRange.MPEG,
        interpolation=ACCURATE,
    ).to_ndarray()


def _time(frame: av.VideoFrame, number: int, stream: VideoStream) -> int:
    """Return a frame's time in the stream's ticks; raw streams have none."""
    if frame.pts is not None:
        return frame.pts
    return round(number / ((stream.average_rate or stream.guessed_rate or 25) * (stream.time_base or 1)))


def _beside(blurry: Pixels, restored: Pixels, rotation: int) -> Pixels:
    """Put two frames beside each other as they are shown."""
    quarters = rotation // 90
    pair = np.concatenate([np.rot90(frame, quarters) for frame in (blurry, restored)], axis=1)
    return np.ascontiguousarray(np.rot90(pair, -quarters))


class Writer:
    """An H.264 stream with the time stamps, rotation and colours of the source, beside copies of its sound."""

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
        """Encode one frame (H, W, 3) at a time of the source's stream."""
        frame = av.VideoFrame.from_ndarray(image, format="rgb48le" if self.source.deep else "rgb24").reformat(
            format=self.source.pix_fmt,
            dst_colorspace=_MATRICES.get(self.source.matrix, Colorspace.ITU601),
            dst_color_range=ColorRange.JPEG if self.source.full_range else ColorRange.MPEG,
            interpolation=ACCURATE,
        )
        frame.pts, frame.time_base, frame.duration = pts, self.stream.codec_context.time_base, duration
        self.container.mux(self.stream.encode(frame))

    def copy(self, packet: "av.Packet[Stream]") -> None:
        """Copy a packet of sound; the empty one at its end is none."""
        if packet.dts is None:
            return
        packet.stream = self.audio[packet.stream.index]
        self.container.mux(packet)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        """Write what the encoder still holds, and the end of the file."""
        if failure is None:
            self.container.mux(self.stream.encode())
        self.container.close()
