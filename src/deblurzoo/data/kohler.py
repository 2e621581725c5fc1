"""Köhler's benchmark: Köhler et al., "Recording and Playback of Camera Shake", ECCV 2012."""

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from deblurzoo.data.clips import Sample, Source
from deblurzoo.data.frames import Frame
from deblurzoo.errors import DeblurzooError, unusable
from deblurzoo.files import files_below, require_readable, write_atomically
from deblurzoo.media.images import BAD_ARCHIVE, ImageFile, Zipped
from deblurzoo.media.naming import below, is_left_behind

log = logging.getLogger(__name__)

ARCHIVES = {
    "BlurryImages.zip": "61ffb1434d93fca6c508976a7216d723",
    "GroundTruth_pngs_Image1.zip": "acb90b6d9bfdb4b2370e08a5fcb80e68",
    "GroundTruth_pngs_Image2.zip": "da440d3bf43b32bec0b7170ccd828f29",
    "GroundTruth_pngs_Image3.zip": "3a77c41c951367f35db52eb18496bbac",
    "GroundTruth_pngs_Image4.zip": "72ce9690c3ed1296358653396cf9576d",
}
"""Official archives and their MD5 sums, from people.kyb.tuebingen.mpg.de/rolfk/BenchmarkECCV2012."""

_PAIRS = [(image, kernel) for image in range(1, 5) for kernel in range(1, 13)]
_FRAMES = {(2, 11): 200, **dict.fromkeys([(1, 10), (1, 12), (2, 10), (3, 7), (3, 12), (4, 12)], 198), (1, 3): 197}
"""Number of ground-truth frames for some (image, kernel) pairs. All pairs that are not listed have 199 frames."""
_NAME = re.compile(r"(?:Blurry|GroundTruth)(\d+)_(\d+)(?:_(\d+))?\.(?i:png)")
_LAYOUT = "BlurryImages.zip and GroundTruth_pngs_Image{1..4}.zip, or their unpacked content"


class Kohler(Source):
    """48 images blurred by camera shake. A robot photographed four scenes with twelve recorded hand motions each.

    The ground truth of each image is a sequence of about 200 sharp frames along the motion path. No single
    frame is the correct result. A restored image is therefore registered to every frame, and the best value counts.

    Args:
        root: a folder with the official archives, which are read without unpacking; or a folder with their content,
            `Blurry{image}_{kernel}.png` and `GroundTruth{image}_{kernel}_{frame}.png`, in sub-folders of any depth.
        verify: whether to require the official MD5 sums of the archives. Use false for your own images in this layout.
    """

    name = "kohler"
    protocol = "kohler"
    measure = "kohler"
    blur_folder = "BlurryImages"
    splits = ("test",)
    consecutive = False
    root: Path
    official: Mapping[str, Mapping[str, int]] = {"test": {f"{i}_{k}": _FRAMES.get((i, k), 199) for i, k in _PAIRS}}

    def __init__(self, root: str, verify: bool = True) -> None:
        super().__init__()
        self.root, self.verify = Path(root), verify
        self._found: list[Sample] | None = None

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return one sample for each blurry image that has ground truth. A sample has a single blurry frame."""
        if split != "test":
            raise DeblurzooError(
                "kohler has no training split: train on another data set, and use kohler only for evaluation"
            )
        self.require_consecutive(frames)
        if self._found is None:
            self._found = self._list()
        return self._found

    def incomplete_clips(self, split: str) -> list[str]:
        """Return the pairs, as IMAGE_KERNEL, whose blurry image is missing or whose ground truth is incomplete."""
        found = {sample.frame.removeprefix("Blurry"): len(sample.references) for sample in self.samples(split, 1)}
        return [name for name, frames in self.official[split].items() if found.get(name, 0) < frames]

    def problems(self) -> list[str]:
        """Read every image. Return a line per unreadable image, and per pair that is incomplete or differs in size."""
        samples = self.samples("test", 1)
        unreadable: list[OSError] = []
        for _ in files_below(self.root, unreadable.append, is_left_behind):
            pass
        lines = [f"unreadable: {unusable(error)}" for error in unreadable]
        lines += [f"missing: blurry image or ground truth of pair {pair}" for pair in self.incomplete_clips("test")]
        with ThreadPoolExecutor() as pool:
            for sample in samples:
                shapes = list(pool.map(_shape, [*sample.blur, *sample.references]))
                lines += [f"unreadable: {shape}" for shape in shapes if isinstance(shape, str)]
                if len({shape for shape in shapes if not isinstance(shape, str)}) > 1:
                    lines.append(f"size: {sample.frame} and its ground-truth frames differ in size")
        return lines

    def _list(self) -> list[Sample]:
        blurry: dict[tuple[int, int], Frame] = {}
        truth: dict[tuple[int, int], dict[int, Frame]] = {}
        for name, picture in self._pictures():
            if not (match := _NAME.fullmatch(name)):
                continue
            image, kernel, frame = (int(number or 0) for number in match.groups())
            if not frame:
                blurry[image, kernel] = picture
            elif (image, kernel) != (1, 3) or (frame != 30 and frame <= 198):  # like the official script
                truth.setdefault((image, kernel), {})[frame] = picture
        samples = []
        for image, kernel in sorted(blurry.keys() & truth.keys() & set(_PAIRS)):
            references = tuple(picture for _, picture in sorted(truth[image, kernel].items()))
            middle = references[len(references) // 2]
            frame_name = f"Blurry{image}_{kernel}"
            samples.append(
                Sample(self.name, f"Image{image}", frame_name, (blurry[image, kernel],), (middle,), references)
            )
        if not samples:
            raise DeblurzooError(
                f"{self.key}.root={self.root} has no blurry image with ground truth: set it to a folder with {_LAYOUT}"
            )
        return samples

    def _pictures(self) -> Iterator[tuple[str, Frame]]:
        """Yield the file name and the frame of every file in the archives, or in the folder if it has no archives."""
        if not self.root.is_dir():
            raise DeblurzooError(f"{self.key}.root={self.root} is not a folder: set it to a folder with {_LAYOUT}")
        require_readable(self.root)
        archives = [self.root / name for name in ARCHIVES if (self.root / name).is_file()]
        for archive in archives:
            if self.verify:
                require_md5(archive, ARCHIVES[archive.name])
            for member in members(archive):
                if not any(map(is_left_behind, PurePosixPath(member).parts)):
                    yield PurePosixPath(member).name, Zipped(archive, member)
        if not archives:
            yield from ((path.name, ImageFile(path)) for path in below(self.root))


def members(archive: Path) -> list[str]:
    """Return the member names of a zip archive.

    Raises:
        DeblurzooError: the archive is corrupt, or a member name points outside the extraction folder.
    """
    with archive.open("rb") as stream:
        try:
            names = ZipFile(stream).namelist()
        except BAD_ARCHIVE as error:
            raise DeblurzooError(f"{archive} is corrupt ({error}): download it again") from error
    for name in names:
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or ":" in name:
            raise DeblurzooError(f"{archive} has a member {name!r} with an unsafe path: do not use this archive")
    return names


def require_md5(archive: Path, expected: str) -> None:
    """Raise a DeblurzooError if an archive has a wrong MD5 sum. Success is cached in a file next to the archive."""
    status = archive.stat()
    remembered = archive.with_name(f".{archive.name}.verified")
    state = f"{expected} {status.st_size} {status.st_mtime_ns}"
    if remembered.is_file() and remembered.read_text() == state:
        return
    log.info("checking the MD5 sum of %s", archive)
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != expected:
        raise DeblurzooError(
            f"{archive} has MD5 sum {found}, but the official archive has {expected}: download it again, or set "
            "data.verify=false if these are your own images"
        )
    if os.access(archive.parent, os.W_OK):
        write_atomically(remembered, state.encode())


def _shape(picture: Frame) -> tuple[int, ...] | str:
    """Return (height, width, 3), or the error message if the image cannot be read."""
    try:
        return picture.read().shape
    except DeblurzooError as error:
        return str(error)
