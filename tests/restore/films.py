"""Videos with sound, written, read and restored in tests."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from deblurzoo.restore.restorer import Restorer
from deblurzoo.restore.tracks import target_of
from deblurzoo.restore.video import inspect, restore_video

Frame = np.ndarray[Any, Any]


def moving(count: int, height: int = 48, width: int = 64) -> list[Frame]:
    """Return frames of a coarse colour pattern that moves to the left."""
    rng = np.random.default_rng(0)
    plane = rng.integers(30, 220, (height // 8 + 1, (width + 2 * count) // 8 + 1, 3), dtype=np.uint8)
    plane = plane.repeat(8, axis=0).repeat(8, axis=1)
    return [np.ascontiguousarray(plane[:height, 2 * i : 2 * i + width]) for i in range(count)]


def write(
    path: Path,
    frames: list[Frame],
    times: list[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int = 0,
    sound: str | None = None,
    matrix: int | None = None,
) -> Path:
    """Encode frames at 30000/1001 per second, or at `times` in ticks of this rate, with two tones as sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(30000, 1001), options={"crf": "4"})  # type: ignore[call-overload]
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        if rotation:
            stream.set_display_rotation(rotation)
        audio = [container.add_stream(sound, rate=48000) for _ in range(2)] if sound else []
        container.start_encoding()
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image).reformat(format=pix_fmt, dst_colorspace=matrix)
            frame.pts = times[number] if times else number
            frame.time_base = Fraction(1001, 30000)
            container.mux(stream.encode(frame))
        for tone, track in enumerate(audio):
            for start in range(0, 1600 * len(frames), 1600):
                wave = np.sin(np.arange(start, start + 1600) * 0.03 * (tone + 1)).astype(np.float32)
                samples = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
                samples.sample_rate, samples.pts = 48000, start
                container.mux(track.encode(samples))
            container.mux(track.encode())
        container.mux(stream.encode())
    return path


def decoded(path: Path, depth: str = "rgb24") -> tuple[list[float], list[Frame], int]:
    """Return times in seconds, frames as stored, and the rotation."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [float(f.time) for f in frames], [f.to_ndarray(format=depth) for f in frames], frames[0].rotation


def sound_of(path: Path) -> list[list[bytes]]:
    with av.open(str(path)) as container:
        tracks: list[list[bytes]] = [[] for _ in container.streams.audio]
        first = len(container.streams) - len(tracks)
        for packet in container.demux(container.streams.audio):
            if packet.size:
                tracks[packet.stream.index - first].append(bytes(packet))
        return tracks


def restored(source: Path, restorer: Restorer, compare: Path | None = None) -> Path:
    target = target_of(source.parent / "out" / source.name)
    steps: list[None] = []
    count = restore_video(inspect(source), target, restorer, lambda: steps.append(None), compare)
    assert count == len(steps)
    return target
