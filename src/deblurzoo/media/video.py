"""Reading of videos frame by frame."""

import math
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image

ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
"""Flags for colour conversion. The default of swscale is faster, but its results are off by up to 4 levels."""
_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,ogg,mxf,mxf_opatom,dv,h264,hevc,vvc,m4v,obu,ivf,vc1,"
    "yuv4mpegpipe,rm,nut,gxf,wtv,swf"
)
"""FFmpeg's names of the containers that may be read. Others are playlists, which name further files, and texts, images
and sound, which FFmpeg would also present as video."""
AS_BYTES = "surrogateescape"
"""Codec error handler with which titles and other metadata that are not UTF-8 are read and written unchanged."""
_NEVER = -(2**63)
"""Time stamp before all others."""
_TAIL = 40 * 204
"""Number of bytes at the end of an MPEG transport stream, in 40 packets of the largest size."""
_UNDECLARED = ("mpegts", "mpeg")
"""Containers that do not declare their size, by FFmpeg's name."""
_REORDERED = 16
"""Largest number of frames that are stored before a frame that is shown earlier (H.264 and HEVC)."""
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
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video and its best video stream, ready to be decoded.

    Raises:
        DeblurzooError: the file is not a video, or the `with` block meets corrupt data.
    """
    options = {"format_whitelist": _CONTAINERS}
    # The prefix keeps FFmpeg from reading a colon in the name as the end of a protocol's name.
    with (
        _reading(path),
        av.open(f"file:{path}", container_options=options, metadata_errors=AS_BYTES) as container,
    ):
        yield container, _video_stream(container, path)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise FFmpeg's errors as a DeblurzooError."""
    try:
        yield
    except av.FFmpegError as error:
        raise DeblurzooError(
            f"{path} cannot be read as a video ({error.strerror}): copy or convert it again"
        ) from error


def is_video(path: Path) -> bool:
    """Whether the content is a video in a container that can be read."""
    try:
        with opened(path):
            return True
    except DeblurzooError:
        return False


def inspect_video(path: Path) -> Video:
    """Return the properties of a video; all packets are read, but only the first frame is decoded.

    Raises:
        DeblurzooError: the file is not a video, is truncated, interlaced or HDR, or has a variable frame rate.
    """
    with opened(path) as (container, stream):
        times: list[int | None] = []
        extent, is_damaged = Extent(path, stream), False
        for packet in container.demux(stream):
            extent.add_packet(packet)
            if packet.size:
                is_damaged |= packet.is_corrupt
                times += [] if packet.is_discard else [packet.pts]  # an edit list may hide frames
        extent.require_whole(is_damaged)
        period = _constant_period(path, stream, times)
        if curve := _HDR.get(stream.codec_context.color_trc):
            raise DeblurzooError(f"{path} is HDR video ({curve}): convert it to SDR first")
        named = [rate for rate in (stream.guessed_rate, stream.average_rate) if rate]
        if period:  # the header's rate is exact, but may be wrong
            named = [rate for rate in named if abs(rate * period - 1) * len(times) < 1] or [1 / period]
        fps = named[0] if named else 0
    first = next(read_video(path), None)
    if first is None:
        raise DeblurzooError(f"{path} contains no frames: choose another file")
    height, width = first().shape[:2]
    return Video(len(times), width, height, round(float(fps), 3))


def read_video(path: Path) -> Iterator[Callable[[], Image]]:
    """Yield one function per frame. When called, it converts the decoded frame to (H, W, 3) RGB uint8.

    Colours are converted with the matrix and range that the video declares, by default BT.601 and limited range.

    Raises:
        DeblurzooError: the video is corrupt, truncated or interlaced.
    """
    with opened(path) as (container, stream):
        extent = Extent(path, stream)
        for packet in container.demux(stream):
            for frame in extent.decoded(packet):
                yield partial(_picture, frame, path)
        extent.require_whole()


def require_usable(frame: av.VideoFrame, number: int, path: Path) -> None:
    """Raise a DeblurzooError if a frame is corrupt, or consists of two fields of different times."""
    if frame.is_corrupt:
        raise DeblurzooError(f"{path}: frame {number} is corrupt: copy or convert it again")
    if frame.interlaced_frame:
        raise DeblurzooError(
            f"{path} is interlaced video (frame {number}): deinterlace it first, for example with FFmpeg's filter bwdif"
        )


def _picture(frame: av.VideoFrame, path: Path) -> Image:
    """Return a frame in RGB, rotated for display."""
    with _reading(path):
        image = frame.reformat(format="rgb24", interpolation=ACCURATE).to_ndarray()
    return np.ascontiguousarray(np.rot90(image, frame.rotation // 90), np.uint8)


class Extent:
    """The packets and frames of a video stream that have been read. They show at the end whether the file is whole."""

    def __init__(self, path: Path, stream: VideoStream) -> None:
        self.path, self.stream = path, stream
        self.frames = 0
        self._packets = self._end = 0
        self._is_cut = False
        self._last_stored = self._last_shown = _NEVER

    def add_packet(self, packet: "av.Packet[Any]") -> None:
        """Count a packet of this stream, or of another stream of the file."""
        if packet.size:
            self._is_cut = packet.is_corrupt
        if packet.size and packet.stream is self.stream:
            self._packets += 1
            self._end = max(self._end, (packet.pts or 0) + (packet.duration or 0))
            if packet.pts is not None and not packet.is_discard:
                self._last_stored = max(packet.pts, self._last_stored)

    def decoded(self, packet: "av.Packet[Any]") -> Iterator[av.VideoFrame]:
        """Count a packet of this stream and yield its frames; raise a DeblurzooError if one cannot be used."""
        self.add_packet(packet)
        for frame in self.stream.decode(packet):
            require_usable(frame, self.frames, self.path)
            self.frames += 1
            if frame.pts is not None:
                self._last_shown = max(frame.pts, self._last_shown)
            yield frame

    def require_whole(self, is_damaged: bool = False) -> None:
        """Raise a DeblurzooError if the file is truncated or `is_damaged`; to be called after its last packet.

        With several threads, decoders do not report an error in the last frames: then the last decoded frame precedes
        the last stored frame. The time stamps of AVI are numbers in decoding order.
        """
        if is_damaged or self._is_cut or _is_truncated(self.path, self.stream, self._packets, self._end):
            raise DeblurzooError(f"{self.path} is truncated after {self._packets} frames: copy it again")
        if self._last_stored > self._last_shown > _NEVER and self.stream.container.format.name != "avi":
            raise DeblurzooError(f"{self.path}: the frames after frame {self.frames - 1} are corrupt: copy it again")


def _is_truncated(path: Path, stream: VideoStream, packets: int, end: int) -> bool:
    """Whether a file is shorter than it declares.

    MP4 and MOV declare the place of each packet, Matroska, AVI and WMV the size of the file. If the recorder did not
    enter the size, the duration or the number of packets is compared. An MPEG transport stream consists of packets of
    one size. Other containers declare nothing.

    Args:
        path, stream: the file and its video stream.
        packets: number of packets of the stream.
        end: end of the last frame in ticks of the stream.
    """
    size, kind = path.stat().st_size, stream.container.format.name
    if "mp4" in kind:
        return any(entry.pos + entry.size > size for entry in stream.index_entries)
    if kind == "mpegts":
        return _ends_within_packet(path)
    if declared := {"avi": _avi_size, "asf": _asf_size}.get(kind, _matroska_size)(path):
        return size < declared
    seconds = promised_seconds(stream) - 2 / float(stream.average_rate or 1)
    return packets < stream.frames or end * (stream.time_base or 0) < seconds


def _ends_within_packet(path: Path) -> bool:
    """Whether an MPEG transport stream ends within a packet (ISO/IEC 13818-1, 2.4.3); False if its end is other data.

    Each packet has 188 bytes, of which the first is 0x47. On discs, 4 bytes precede it; on air, 16 bytes follow it.
    """
    with path.open("rb") as file:
        file.seek(-min(_TAIL, path.stat().st_size), os.SEEK_END)
        tail = file.read()
    for before, after in ((0, 0), (4, 0), (0, 16)):
        period = before + 188 + after
        for first in range(period):
            starts = tail[first::period]
            if starts == b"\x47" * max(5, len(starts)):
                return (len(tail) - first) % period != (188 + after) % period
    return False


def _avi_size(path: Path) -> int:
    """Return the file size that the RIFF chunks of an AVI file declare; 0 if a recorder was stopped."""
    place, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while place + 12 <= size:
            file.seek(place)
            name, length, kind = struct.unpack("<4sI4s", file.read(12))
            if name != b"RIFF" or not kind.startswith(b"AVI"):  # other data may follow
                break
            if not length:
                return 0
            place += 8 + length + length % 2
    return place - (place == size + 1)  # the last padding byte may be missing


def _asf_size(path: Path) -> int:
    """Return the file size that a WMV file declares in its File Properties Object; 0 if unknown, as in broadcasts."""
    with path.open("rb") as file:
        head = file.read(2**16)
    place = head.find(b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65")
    if place < 0 or len(head) < place + 92:
        return 0
    size, is_broadcast = struct.unpack_from("<Q", head, place + 40)[0], head[place + 88] & 1
    return 0 if is_broadcast else int(size)


def _matroska_size(path: Path) -> int:
    """Return the file size that a Matroska file declares; 0 if unknown, as in recordings (RFC 8794, 4 and 11)."""
    with path.open("rb") as file:
        head = file.read(1024)
    place = 0
    for name in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):  # the header, and the segment that contains all else
        if head[place : place + 4] != name or len(head) < place + 12:
            return 0
        octets = 9 - head[place + 4].bit_length()  # the number of leading zeros is the number of further bytes
        most = (1 << 7 * octets) - 1
        size = int.from_bytes(head[place + 4 : place + 4 + octets]) & most
        place += 4 + octets + size
    return 0 if size == most else place


def _constant_period(path: Path, stream: VideoStream, times: list[int | None]) -> Fraction | None:
    """Return the seconds between frames; None if the stream has no time stamps.

    Raises:
        DeblurzooError: the intervals differ by more than 10 % and the rounding of the time stamps. If only the last
            intervals differ and the container does not declare its size, the reason is that the file is truncated.
    """
    known = sorted(time for time in times if time is not None)
    if len(known) < max(3, len(times)):
        return None
    gaps = np.diff(known)
    if not gaps.any():
        raise DeblurzooError(f"{path}: all frames have the same time stamp: convert it again")
    middle, step = np.percentile(gaps, 50, method="lower"), np.gcd.reduce(gaps)
    usual = float(gaps[np.abs(gaps - middle) <= 0.5 * middle + step].mean())
    tick = stream.time_base or Fraction(1)
    # Rounded times are multiples of a step that is shorter than the intervals, at most half a step off.
    rounding = step if step <= usual / 2 or _is_rounded(known, step) else 0
    odd = np.abs(gaps - usual) > 0.1 * usual + rounding
    if odd.any():
        number, ms = int(odd.argmax()) + 1, float(1000 * tick)
        if number >= len(known) - _REORDERED and stream.container.format.name in _UNDECLARED:
            raise DeblurzooError(f"{path} is truncated: frames between its last frames are missing: copy it again")
        raise DeblurzooError(
            f"{path} has a variable frame rate: frame {number} comes {gaps[number - 1] * ms:.1f} ms after the previous "
            f"frame, but the usual gap is {usual * ms:.1f} ms: cut out such parts, or convert to a constant frame rate"
        )
    return Fraction(known[-1] - known[0], len(gaps)) * tick


def _is_rounded(times: list[int], step: int) -> bool:
    """Whether intervals of one and two steps are a constant interval, rounded; one or two dropped frames are not."""
    exact = np.linspace(times[0], times[-1], len(times))
    doubled = int(np.count_nonzero(np.diff(times) > step))
    return doubled > 2 and bool(np.abs(np.array(times) - exact).max() <= step)


def is_cover(stream: VideoStream) -> bool:
    """Whether a video stream is an attached image, such as the cover of a film."""
    return bool(stream.disposition & Disposition.attached_pic)


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    if not streams:
        raise DeblurzooError(f"{path} contains no video stream: choose another file")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    if stream.codec_context is None:
        raise DeblurzooError(f"{path} contains video of an unknown codec: convert it to H.264 first")
    stream.thread_type = "AUTO"
    stream.codec_context.options = {"err_detect": "explode"}  # by default, decoders conceal errors
    return stream


def promised_seconds(stream: VideoStream) -> float:
    """Return the duration in seconds that a Matroska header declares for a stream; 0 for any other container."""
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "0:0:0").split(":")
        duration = 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:  # the tag is not a duration
        return 0.0
    return duration if math.isfinite(duration) else 0.0
