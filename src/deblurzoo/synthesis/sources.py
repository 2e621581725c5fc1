"""What sharp frames are taken from: videos, folders of frames, and photographs."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from deblurzoo.errors import DeblurzooError
from deblurzoo.media import Image
from deblurzoo.media.images import image_size, read_image
from deblurzoo.media.naming import SUFFIXES, described, gaps, image_files, require_frames
from deblurzoo.media.video import inspect_video, read_video


@dataclass(frozen=True)
class SharpInput:
    """A video, a folder of consecutive frames, or a photograph: one scene."""

    path: str
    kind: Literal["video", "frames", "photograph"]
    frames: int
    size: str
    """WIDTHxHEIGHT in pixels."""
    fps: float | None
    """Frames per second of a video."""
    stamp: tuple[int, int] = field(default=(0, 0), compare=False)
    """Bytes and time of the last change in ns: another file of that name is another source."""

    @property
    def name(self) -> str:
        """What the file or folder is called, without a file's suffix."""
        path = Path(self.path).resolve()
        return path.name if self.kind == "frames" else path.stem

    def read(self) -> Iterator[Callable[[], Image]]:
        """Yield for each frame in order what returns it as (H, W, 3) RGB uint8, if it is wanted."""
        path = Path(self.path)
        return read_video(path) if self.kind == "video" else (partial(read_image, file) for file in _pictures(path))

    def windows(self, spans: Sequence[range]) -> Iterator[list[Image]]:
        """Yield the frames of each span, reading the source once; spans are in the order of their starts and stops.

        No more is kept than the frames of one span.

        Raises:
            DeblurzooError: the source is damaged, or ends too early.
        """
        sequence = enumerate(self.read())
        kept: deque[tuple[int, Image]] = deque()
        read = 0
        for span in spans:
            while kept and kept[0][0] < span.start:
                kept.popleft()
            while read < span.stop:
                number, picture = next(sequence, (None, None))
                if number is None or picture is None:
                    raise DeblurzooError(f"{self.path} ends after {read} of {self.frames} frames: copy it again")
                read = number + 1
                if number >= span.start:
                    kept.append((number, self._checked(picture(), number)))
            yield [image for _, image in kept]

    def _checked(self, image: Image, number: int) -> Image:
        size = _size_text(image.shape[1], image.shape[0])
        if size != self.size:
            raise DeblurzooError(
                f"{self.path}: frame {number} is {size}, the first {self.size}: give frames of one size"
            )
        return image


def inspect(path: Path, photographs: bool) -> list[SharpInput]:
    """Look at what there is at a path, reading no more than the heads of its pictures.

    Args:
        path: a video, a picture, or a folder of pictures.
        photographs: a folder holds photographs, each a source of its own, rather than consecutive frames.

    Raises:
        DeblurzooError: there is nothing at `path`, nothing to be used, or frames that do not follow each other.
    """
    if not path.exists():
        raise DeblurzooError(f"{path} does not exist: give a video, a picture or a folder of pictures")
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        video = inspect_video(path)
        return [
            SharpInput(str(path), "video", video.frames, _size_text(video.width, video.height), video.fps, _stamp(path))
        ]
    files = _pictures(path)
    if not files:
        raise DeblurzooError(f"{path} has no pictures in it ({', '.join(SUFFIXES)}): give a folder that has some")
    sizes = [_size_text(*image_size(file)) for file in files]
    if path.is_file() or photographs:
        return [
            SharpInput(str(file), "photograph", 1, size, None, _stamp(file))
            for file, size in zip(files, sizes, strict=True)
        ]
    if left_out := gaps(list(require_frames(files))):
        raise DeblurzooError(
            f"{path} lacks {described(left_out)}: give a folder for each piece, or --photographs if these are no "
            "consecutive frames"
        )
    for file, size in zip(files, sizes, strict=True):
        if size != sizes[0]:
            raise DeblurzooError(
                f"{path} has frames of several sizes: {files[0].name} is {sizes[0]}, {file.name} {size}: give a folder "
                "for each clip, or --photographs if these are no consecutive frames"
            )
    return [SharpInput(str(path), "frames", len(files), sizes[0], None, _stamp(*files))]


def _pictures(path: Path) -> list[Path]:
    """Return a picture itself, or those of a folder in natural order."""
    return [path] if path.is_file() else image_files(path)


def _stamp(*files: Path) -> tuple[int, int]:
    found = [file.stat() for file in files]
    return sum(status.st_size for status in found), max(status.st_mtime_ns for status in found)


def _size_text(width: int, height: int) -> str:
    return f"{width}x{height}"
