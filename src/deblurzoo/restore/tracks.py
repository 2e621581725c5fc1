"""Tracks of a video besides the restored one: sound, subtitles, data and covers, and the containers that hold them."""

import io
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import DataStream, Discard, Stream
from av.subtitles.stream import SubtitleStream

from deblurzoo.media.video import is_cover

_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Containers for H.264 by suffix. For all other suffixes, Matroska is used, which supports all audio codecs."""
_COVERS = {"mjpeg": "jpeg", "png": "png"}
"""Image formats of covers, by FFmpeg's codec."""


def target_of(path: Path) -> Path:
    """Return the path of a video's result: `path`, with `.mkv` appended if its suffix has no container for H.264."""
    return path if path.suffix.lower() in _CONTAINERS else path.with_name(f"{path.name}.mkv")


def container_of(target: Path) -> str:
    """Return FFmpeg's name of the container of a result."""
    return _CONTAINERS[target.suffix.lower()]


def track_losses(container: InputContainer, target: Path) -> list[str]:
    """Return the descriptions of all tracks that the result lacks."""
    lost, kind = [], container_of(target)
    for noun, tracks in (("subtitles", container.streams.subtitles), ("data tracks", _data_tracks(container))):
        if names := {_name_of(track) for track in tracks if not _is_held(track, kind)}:
            lost.append(f"{noun} are dropped ({kind} cannot hold {' and '.join(sorted(names))})")
    shown = [track for track in container.streams.video if is_cover(track)]
    if len(container.streams.video) - len(shown) > 1:
        lost.append("only the best video track is restored")
    if (kind == "mov" and shown) or any(cover_format(track) is None for track in shown):
        lost.append("the cover is dropped")
    if kind != "matroska" and container.streams.attachments:
        lost.append("attachments are dropped")
    return lost


def copied_tracks(container: InputContainer, target: Path) -> list[Stream]:
    """Return the tracks that are copied to the result. All sound is among them, even if the result cannot hold it."""
    further: list[SubtitleStream | DataStream] = [*container.streams.subtitles, *_data_tracks(container)]
    held = (track for track in further if _is_held(track, container_of(target)))
    return [*container.streams.audio, *held]


def _data_tracks(container: InputContainer) -> list[DataStream]:
    """Return the tracks of data, such as the GPS track of a camera, without chapters and time code.

    MP4 and MOV store chapters and the time code of the first frame as tracks. FFmpeg writes both from the metadata.
    """

    def is_time_code(track: DataStream) -> bool:
        return "timecode" in track.metadata and track.frames == 1

    return [track for track in container.streams.data if track.discard != Discard.all and not is_time_code(track)]


def _name_of(track: SubtitleStream | DataStream) -> str:
    if track.codec_context:
        return track.codec_context.codec.canonical_name
    return track.metadata.get("handler_name") or track.name or "this codec"


def _is_held(track: SubtitleStream | DataStream, kind: str) -> bool:
    """Whether a container can hold a track. Some containers find out only when their header is written.

    FFmpeg would copy data of an unknown kind without their description, so that they could not be interpreted.
    """
    if not (track.codec_context or (track.type == "data" and track.name)):
        return False
    with av.open(io.BytesIO(), "w", format=kind) as trial:
        try:
            trial.add_stream_from_template(track)
            trial.start_encoding()
        except (av.FFmpegError, ValueError):
            return False
    return True


def cover_format(track: Stream) -> str | None:
    """Return the image format of a cover; None if it cannot be copied."""
    return _COVERS.get(track.codec_context.name) if track.codec_context else None
