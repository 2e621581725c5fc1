"""Sources of sharp frames: videos, folders of frames, and photos."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from deblurzoo.errors import DeblurzooError, escaped, few_of
from deblurzoo.media import Image
from deblurzoo.media.images import image_size, read_image
from deblurzoo.media.kinds import kind_of
from deblurzoo.media.naming import described, files, gaps, image_files, is_image_file, require_frames
from deblurzoo.media.video import inspect_video, read_video


@dataclass(frozen=True)
class SharpInput:
    """A source of one scene: a video, a folder of consecutive frames, or a photo."""

    path: str
    kind: Literal["video", "frames", "photograph"]
    frames: int
    size: str
    """WIDTHxHEIGHT in pixels."""
    fps: float | None
    """Frames per second of a video."""
    stamp: tuple[int, int] = field(default=(0, 0), compare=False)
    """Total size in bytes and latest modification time in ns of the files, to detect changes."""

    @property
    def name(self) -> str:
        """Name of the folder, or of the file without suffix."""
        path = Path(self.path).resolve()
        return path.name if self.kind == "frames" else path.stem

    def read(self) -> Iterator[Callable[[], Image]]:
        """Yield, for each frame in order, a function that decodes the frame to (H, W, 3) RGB uint8."""
        path = Path(self.path)
        return read_video(path) if self.kind == "video" else (partial(read_image, file) for file in _pictures(path))

    def windows(self, spans: Sequence[range]) -> Iterator[list[Image]]:
        """Yield the frames of each span; the source is read once, and only the frames of one span are kept in memory.

        Spans must be sorted by start and by stop.

        Raises:
            DeblurzooError: the source is corrupt, or ends too early.
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
                f"{self.path}: frame {number} is {size}, but the first frame is {self.size}: all frames must have the "
                "same size"
            )
        return image


def inspect(path: Path, photographs: bool) -> list[SharpInput]:
    """Return the sources at a path. Of image files, only the headers are read.

    Args:
        path: a video, a photo, or a folder of frames or photos.
        photographs: whether a folder contains photos, which are separate sources, instead of consecutive frames.

    Raises:
        DeblurzooError: `path` does not exist, contains no readable file, or contains frames that are not consecutive or
            differ in size.
    """
    if not path.exists():
        raise DeblurzooError(f"{path} does not exist: give a video, a photo, or a folder of frames or photos")
    kind = kind_of(path)
    if path.is_file() and kind.group in ("unsupported", "other"):
        raise DeblurzooError(f"{path} is {kind.name}: give a video, a photo, or a folder of frames or photos")
    if path.is_file() and kind.group == "video":
        video = inspect_video(path)
        return [
            SharpInput(str(path), "video", video.frames, _size_text(video.width, video.height), video.fps, _stamp(path))
        ]
    images = _pictures(path)
    if not images:
        raise DeblurzooError(f"{path} contains no images: give a folder of images")
    sizes = _sizes(images)
    if path.is_file() or photographs:
        return [
            SharpInput(str(file), "photograph", 1, size, None, _stamp(file))
            for file, size in zip(images, sizes, strict=True)
        ]
    if left_out := gaps(list(require_frames(images))):
        raise DeblurzooError(
            f"{path} lacks {described(left_out)}: give a separate folder for each part, or use --photographs if "
            "the images are not consecutive frames"
        )
    for file, size in zip(images, sizes, strict=True):
        if size != sizes[0]:
            raise DeblurzooError(
                f"{path} has frames of different sizes: {images[0].name} is {sizes[0]}, {file.name} is {size}: give a "
                "separate folder for each clip, or use --photographs if they are not consecutive frames"
            )
    return [SharpInput(str(path), "frames", len(images), sizes[0], None, _stamp(*images))]


def unused(folder: Path) -> list[str]:
    """Return the photos in unsupported formats and the videos in a folder of images; `inspect` ignores them."""
    kinds = {path.name: kind_of(path) for path in files(folder) if not is_image_file(path)}
    names = {"unsupported": "{0} is {1.name}", "video": "{0} is a video"}
    return [names[kind.group].format(escaped(name), kind) for name, kind in kinds.items() if kind.group in names]


def _sizes(files: Sequence[Path]) -> list[str]:
    """Return the size of each image; raise a DeblurzooError that names all images without a valid header."""
    sizes, problems = [], []
    for file in files:
        try:
            sizes.append(_size_text(*image_size(file)))
        except DeblurzooError as error:
            problems.append(str(error))
    if len(problems) > 1:
        raise DeblurzooError(f"{len(problems)} of {len(files)} images cannot be used: {few_of(problems)}")
    if problems:
        raise DeblurzooError(problems[0])
    return sizes


def _pictures(path: Path) -> list[Path]:
    """Return the image file itself, or the image files of a folder in natural order."""
    return [path] if path.is_file() else image_files(path)


def _stamp(*files: Path) -> tuple[int, int]:
    found = [file.stat() for file in files]
    return sum(status.st_size for status in found), max(status.st_mtime_ns for status in found)


def _size_text(width: int, height: int) -> str:
    return f"{width}x{height}"
