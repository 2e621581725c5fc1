"""Restoration of videos, frame by frame. Time stamps, rotation, sound, other tracks and metadata are preserved."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Stream
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import replace_atomically
from deblurzoo.media import Pixels
from deblurzoo.media.photos import TooLargeError
from deblurzoo.media.video import (
    ACCURATE,
    AS_BYTES,
    Extent,
    is_cover,
    opened,
    promised_seconds,
    require_usable,
)
from deblurzoo.restore.restorer import Restorer
from deblurzoo.restore.tracks import container_of, copied_tracks, cover_format, target_of, track_losses

_MATRICES = {1: Colorspace.ITU709, 9: Colorspace.BT2020}
"""Colour matrices by number in ITU-T H.273. All other and undeclared matrices are read and written as BT.601."""
_ENCODER = {"crf": "14", "preset": "medium"}
_BYTES_PER_PIXEL = 160
"""Memory in bytes per pixel of a frame: about 60 frames in 4:2:0 in the decoder and the encoder, and the RGB frames
before and after the network."""
_OF_THE_FILE = re.compile(
    "major_brand|minor_version|compatible_brands|encoder|vendor_id|duration|bps|number_of|_stat", re.I
)
"""Metadata that describe the input file and its encoding."""
_BT709 = 1
"""The matrix for RGB videos, by number in ITU-T H.273."""


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
    losses: tuple[str, ...]
    """Descriptions of everything in the file that the result lacks."""

    @property
    def deep(self) -> bool:
        """Whether the result has more than 8 bits per value."""
        return self.pix_fmt.endswith("10le")


def inspect(path: Path) -> InputVideo:
    """Return the properties of a video from its header and first frame.

    Raises:
        DeblurzooError: the file is not a video, or is interlaced.
    """
    with opened(path) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise DeblurzooError(f"{path} contains no frames: choose another file")
        require_usable(first, 0, path)
        is_rgb = first.format.is_rgb or first.format.has_palette
        pix_fmt, losses = _result_format(first.format)
        if stream.metadata.get("alpha_mode") == "1":  # of VP8 and VP9, whose decoders leave alpha out
            losses.append("transparency is dropped")
        losses += track_losses(container, target_of(path))
        return InputVideo(
            path=path,
            frames=stream.frames or round(promised_seconds(stream) * float(stream.average_rate or 0)),
            height=first.height,
            width=first.width,
            rotation=first.rotation,
            pix_fmt=pix_fmt,
            matrix=_BT709 if is_rgb else first.colorspace,
            full_range=not is_rgb and (first.color_range == ColorRange.JPEG or first.format.name.startswith("yuvj")),
            losses=tuple(losses),
        )


def _result_format(source: av.VideoFormat) -> tuple[str, list[str]]:
    """Return the pixel format of the result for the format of a frame, and its losses.

    The result has 8 or 10 bits per value, and at least the input's chroma resolution. RGB becomes 4:4:4.
    """
    colours = [part for part in source.components if not part.is_alpha]
    bits = max(part.bits for part in colours)
    odd = source.width % 2 or source.height % 2  # subsampled chroma requires even sides
    across, down = len({part.width for part in colours}) > 1, len({part.height for part in colours}) > 1
    gray = len(colours) == 1 and not (source.has_palette or source.is_bayer)
    chroma = 444 if odd or not (across or gray) else 420 if down or gray else 422
    losses = []
    if bits > 10:
        losses.append(f"{bits} bits per value become 10")
    if len(colours) < len(source.components):
        losses.append("transparency is dropped")
    return f"yuv{chroma}p{'10le' if bits > 8 else ''}", losses


def restore_video(
    source: InputVideo, target: Path, restorer: Restorer, on_frame: Callable[[], None], compare: Path | None = None
) -> int:
    """Restore a video and encode it as H.264 (crf 14), with 10 bits per value if the input has more than 8.

    Sound, subtitles, data, chapters, covers and the metadata of tracks are copied; `InputVideo.losses` is not. The
    first frame is also used as its own previous frame, and the last frame as its own next frame.

    Args:
        source: the input, from `inspect`.
        target: path of the result, from `target_of`; written atomically.
        restorer: the network.
        on_frame: called after each frame.
        compare: path of an additional video that shows blurry and restored frames side by side, without sound.

    Returns:
        The number of frames.

    Raises:
        TooLargeError: H.264 cannot hold frames of this size, or of twice this width for `compare`.
        DeblurzooError: the video is corrupt, truncated or interlaced, its frames differ in size, or the result cannot
            be written. No result is kept.
    """

    frames = 0

    def count() -> None:
        nonlocal frames
        frames += 1
        on_frame()

    def write(file: BinaryIO, beside: BinaryIO | None = None) -> None:
        _restore(source, restorer, count, file, target, beside)

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
        container, stream = stack.enter_context(opened(source.path))
        copied = copied_tracks(container, name)
        shown = [track for track in container.streams.video if is_cover(track)]
        covers = list(islice(container.demux(*shown), len(shown))) if shown else []  # a file starts with its covers
        comparison = stack.enter_context(Writer(beside, name, source, stream, across=2)) if beside else None
        writer = stack.enter_context(Writer(file, name, source, stream, copied, covers))
        waiting = deque[tuple[int, int, Pixels]]()  # the restorer reads one frame ahead

        def frames() -> Iterator[Pixels]:
            extent, time = Extent(source.path, stream), -(2**62)
            for packet in container.demux(stream, *copied):
                if packet.stream is not stream:
                    extent.add_packet(packet)
                    writer.copy(packet)
                    continue
                for frame in extent.decoded(packet):
                    _require_size(frame, extent.frames - 1, source)
                    image = _pixels(frame, source)
                    # Some files have time stamps that do not increase.
                    time = max(_time(frame, extent.frames - 1, stream), time + 1)
                    waiting.append((time, frame.duration, image))
                    yield image
            extent.require_whole()

        for restored in restorer.stream(frames(), extra=_BYTES_PER_PIXEL * source.height * source.width):
            time, duration, blurry = waiting.popleft()
            writer.write(restored, time, duration)
            if comparison is not None:
                comparison.write(_beside(blurry, restored, source.rotation), time, duration)
            on_frame()


def _require_size(frame: av.VideoFrame, number: int, source: InputVideo) -> None:
    """Raise a DeblurzooError if a frame differs in size from the first frame, as in joined recordings."""
    if (frame.width, frame.height) != (source.width, source.height):
        raise DeblurzooError(
            f"{source.path}: frame {number} is {frame.width}x{frame.height}, but the first frame is "
            f"{source.width}x{source.height}: convert it to one size first, or cut it there"
        )


def _pixels(frame: av.VideoFrame, source: InputVideo) -> Pixels:
    """Return a frame as RGB (H, W, 3) in its stored orientation."""
    return frame.reformat(
        format="rgb48le" if source.deep else "rgb24",
        src_colorspace=_MATRICES.get(source.matrix, Colorspace.ITU601),
        src_color_range=ColorRange.JPEG if source.full_range else ColorRange.MPEG,
        interpolation=ACCURATE,
    ).to_ndarray()


def _time(frame: av.VideoFrame, number: int, stream: VideoStream) -> int:
    """Return a frame's time in ticks of the stream; estimated from the frame rate if the frame has no time stamp.

    The time stamps of AVI are numbers in decoding order.
    """
    if frame.pts is not None and stream.container.format.name != "avi":
        return frame.pts
    return round(number / ((stream.average_rate or stream.guessed_rate or 25) * (stream.time_base or 1)))


def _beside(blurry: Pixels, restored: Pixels, rotation: int) -> Pixels:
    """Join two stored frames so that they are displayed side by side."""
    quarters = rotation // 90
    pair = np.concatenate([np.rot90(frame, quarters) for frame in (blurry, restored)], axis=1)
    return np.ascontiguousarray(np.rot90(pair, -quarters))


def _kept(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if not _OF_THE_FILE.match(key)}


class Writer:
    """Writer of an H.264 video that keeps the time stamps, rotation, metadata, sound and subtitles of the input."""

    def __init__(
        self,
        file: BinaryIO,
        name: Path,
        source: InputVideo,
        stream: VideoStream,
        tracks: Sequence[Stream] = (),
        covers: "Sequence[av.Packet[Stream]]" = (),
        across: int = 1,
    ) -> None:
        self.source = source
        kind = container_of(name)
        self.container: OutputContainer = av.open(file, "w", format=kind, metadata_errors=AS_BYTES)
        self.container.metadata.update(_kept(stream.container.metadata))
        self.container.set_chapters(stream.container.chapters())
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
            source.matrix,
        )
        ours.color_range = ColorRange.JPEG if source.full_range else theirs.color_range
        self._describe(self.stream, stream)
        self.copied: dict[int, Stream] = {}
        for track in tracks:
            try:
                self.copied[track.index] = self.container.add_stream_from_template(track)
            except ValueError as error:
                raise DeblurzooError(
                    f"{source.path}: its sound cannot be copied ({error}): convert the video to MKV first"
                ) from error
            self._describe(self.copied[track.index], track)
        for font in stream.container.streams.attachments if across == 1 and kind == "matroska" else ():
            self.container.add_attachment(font.name or "", font.mimetype or "", font.data or b"")
        pictures = [self._add_cover(cover, name) for cover in covers]
        try:
            self.container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            raise TooLargeError(
                f"{name} cannot be written: H.264 of {self.stream.width}x{self.stream.height} pixels"
                f"{' with this sound' if tracks else ''} fails ({error}): convert the input first"
            ) from error
        for picture, cover in zip(pictures, covers, strict=True):
            if picture is not None:
                cover.stream = picture
                self.container.mux(cover)

    @staticmethod
    def _describe(ours: Stream, theirs: Stream) -> None:
        """Copy title, language and disposition of a track."""
        kept = _kept(theirs.metadata)
        ours.metadata.update({"title": kept["name"], **kept} if "name" in kept else kept)  # MP4 stores titles as names
        ours.disposition = theirs.disposition

    def _add_cover(self, cover: "av.Packet[Stream]", name: Path) -> Stream | None:
        """Add a cover: an attachment in Matroska, otherwise a track, which is returned and needs the packet."""
        theirs = cover.stream
        kind = cover_format(theirs)
        if container_of(name) == "mov" or kind is None:
            return None
        if container_of(name) == "matroska":
            named = theirs.metadata
            self.container.add_attachment(
                named.get("filename", f"cover.{kind}"), named.get("mimetype", f"image/{kind}"), bytes(cover)
            )
            return None
        picture: Stream = self.container.add_stream_from_template(theirs)
        self._describe(picture, theirs)
        return picture

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
        """Copy a packet of sound, subtitles or data. The empty packet at the end of a stream is skipped."""
        if packet.dts is None:
            return
        packet.stream = self.copied[packet.stream.index]
        self.container.mux(packet)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        """Flush the encoder if no error occurred, and close the file."""
        if failure is None:
            self.container.mux(self.stream.encode())
        self.container.close()
