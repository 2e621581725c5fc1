"""Sharp photos, from which blur is simulated: endless training samples, and a fixed list of test exposures."""

import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, NonNegativeInt, PositiveInt

from deblurzoo.data.clips import NEIGHBOURS, ClipSource, Sample
from deblurzoo.data.frames import Frame
from deblurzoo.data.gopro import Synthesized
from deblurzoo.data.layout import ClipFiles, Pairs, require_folder
from deblurzoo.errors import DeblurzooError, few_of, first_line
from deblurzoo.files import require_output
from deblurzoo.media.naming import image_files, natural
from deblurzoo.records import ordered
from deblurzoo.synthesis.options import CAMERA_GAMMA, Response
from deblurzoo.synthesis.stills import PhotoBlur, Shake

log = logging.getLogger(__name__)

EVERY = 6
"""Without a list of names, every sixth photo is for testing."""
Length = Annotated[float, Field(ge=0, le=10_000)]
"""Length of a path in pixels. Photos of any camera are smaller than the largest length."""
VERSION = 3
"""Version of the test exposures; to be increased if their files change."""


@dataclass(frozen=True)
class TrainingPhotos:
    """The photos for training; `names` is a text file with a file name per line, or None for all remaining photos."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    names: str | None = None


@dataclass(frozen=True)
class TestPhotos:
    """The photos for testing, and the number of exposures of each.

    `names` is a text file with a file name per line, or None for every sixth photo.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    __test__ = False  # not a test of pytest
    names: str | None = None
    exposures: PositiveInt = 3


class _Middle(Synthesized):
    """Test exposures of photos. Of three consecutive frames, the middle one is restored, for any number of frames."""

    name = "photos"

    def restored_frames(self, clip: object, split: str) -> set[str]:
        return {"000002"}


class Photos(ClipSource):
    """Sharp photos of any sizes, blurred by a simulated hand shake.

    Each training sample is a new exposure, or T consecutive exposures, rendered on the device that trains. The test
    split is a fixed list of exposures, which is rendered once on the CPU and cached.

    Args:
        root: folder of photos.
        length: range of the length of the camera's path per exposure in pixels, after the reduction to `shorter_side`
            and the zoom of the augmentation.
        cache: folder in which test exposures are stored.
        shorter_side: photos are reduced to this number of pixels of their shorter side; None keeps their size.
        objects: maximum number of moving objects in front of a photo.
        responses: camera responses: null for averages of the stored values, a gamma, or `srgb`. One is drawn for each
            training sample. Test exposures are averages of the stored values.
        train, test: the photos of each split.
        packed: see `ClipSource`.
    """

    name = "photos"
    protocol = "photos"
    blur_folder = "blur"
    consecutive = False
    kinds = ("sharp",)

    def __init__(
        self,
        root: str | None,
        length: Annotated[tuple[Length, Length], AfterValidator(ordered)],
        cache: str,
        shorter_side: PositiveInt | None = None,
        objects: NonNegativeInt = 2,
        responses: Annotated[tuple[Response, ...], Field(min_length=1)] = (None, CAMERA_GAMMA, "srgb"),
        train: TrainingPhotos = TrainingPhotos(),
        test: TestPhotos = TestPhotos(),
        packed: str | None = None,
    ) -> None:
        super().__init__(packed=packed)
        self.root = Path(root) if root else None
        self.cache, self.train, self.test = Path(cache), train, test
        self.blur = PhotoBlur(Shake(*length, objects=objects), shorter_side, responses)

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the photos of a split as one clip."""
        photos = {path.name: path for path in image_files(require_folder(f"{self.key}.root", self.root, "", "photos"))}
        if not photos:
            raise DeblurzooError(f"{self.key}.root={self.root} contains no photos: set it to a folder of photos")
        names = self._names(list(photos))[split]
        if not names:
            raise DeblurzooError(
                f"no photo of {self.key}.root={self.root} is left for the {split} split: add photos, or set "
                f"{self.key}.train.names and {self.key}.test.names"
            )
        files = [photos[name] for name in names]
        return [ClipFiles("photos", files, files, attrgetter("name"))]  # IMG_1.JPG and IMG_1.PNG are two photos

    def _pair(self, files: ClipFiles) -> Pairs:
        """Return the photos of a clip; a pack lacks the photos that could not be read."""
        pairs = super()._pair(files)
        if not self.packed:
            return pairs
        packed = {name for clip in self.index.clips for name in clip.frames}
        photos = zip(pairs.frames, pairs.clip().sharp, strict=True)
        return pairs.without({name for name, photo in photos if name not in packed and _unreadable(photo)})

    def _names(self, photos: Sequence[str]) -> dict[str, list[str]]:
        """Return the file names of the photos of each split."""
        train, test = (self._listed(split, names, photos) for split, names in self._lists().items())
        if test is None:
            left = _others(photos, train or ())
            test = left[EVERY - 1 :: EVERY] or left[-1:]
        train = _others(photos, test) if train is None else train
        if both := sorted({*train} & {*test}):
            raise DeblurzooError(f"{both[0]} is in both data.train.names and data.test.names: remove it from one list")
        return {"train": train, "test": test}

    def _lists(self) -> dict[str, str | None]:
        return {"train": self.train.names, "test": self.test.names}

    def _listed(self, split: str, file: str | None, photos: Sequence[str]) -> list[str] | None:
        """Return the names in a list of photos, or None without a list."""
        if file is None:
            return None
        key = f"{self.key}.{split}.names={file}"
        try:
            names = list(dict.fromkeys(filter(None, map(str.strip, Path(file).read_text("utf-8-sig").splitlines()))))
        except (OSError, ValueError) as error:
            raise DeblurzooError(f"{key} cannot be read ({first_line(error)}): set a text file of names") from error
        if not names:
            raise DeblurzooError(f"{key} lists no photos: add file names, or set null")
        if missing := _others(names, photos):
            raise DeblurzooError(f"{key} lists photos that are not in {self.root}: {few_of(missing)}: correct the list")
        return names

    def incomplete_clips(self, split: str) -> list[str]:
        """Return an empty list, as photos have no official clips."""
        return []

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return a sample for each training photo, or the test exposures."""
        if split == "test":
            folder = self._exposed()
            try:
                return _Middle(str(folder), self.blur_folder, common_frames=max(NEIGHBOURS)).samples(split, frames)
            except DeblurzooError as error:
                raise DeblurzooError(
                    f"the test exposures in {folder} are damaged ({first_line(error)}): remove this folder, and they "
                    "are rendered again"
                ) from error
        (clip,) = self.clips(split)
        photos: dict[str, Frame] = dict(zip(clip.frames, clip.sharp, strict=True))
        if self.packed:  # the same samples, in the same order, as from the folder
            (entry,) = self.index.of(split)
            photos |= {photo.picture: photo for photo in entry.unreadable(Path(self.packed))}
        return [
            Sample(self.name, clip.name, name, (photos[name],) * frames, (photos[name],) * frames, simulated=self.blur)
            for name in sorted(photos, key=natural)
        ]

    def _exposed(self) -> Path:
        """Return the folder of the test exposures, rendered at the first call with these photos and options."""
        (clip,) = self.clips("test")
        options = [asdict(self.blur.shake), self.blur.shorter_side, self.test.exposures, VERSION]
        with ThreadPoolExecutor() as pool:
            photos = [
                [*photo.stored(), digest]
                for photo, digest in zip(clip.sharp, pool.map(_digest, clip.sharp), strict=True)
                if digest  # a pack lacks the photos that cannot be read
            ]
        known = json.dumps([photos, *options])
        folder = self.cache / hashlib.sha256(known.encode()).hexdigest()[:16]
        if not folder.exists():
            require_output(self.cache, f"{self.key}.cache={self.cache}")
            self._expose(folder)
        return folder

    def _expose(self, folder: Path) -> None:
        """Render the test exposures; photos that cannot be used are left out with a warning."""
        # Deferred: torch takes a second to import.
        from deblurzoo.synthesis.exposure import Camera
        from deblurzoo.synthesis.pairs import Recipe, read_synthesis, write_folder
        from deblurzoo.synthesis.plan import Cut
        from deblurzoo.synthesis.sources import inspect

        if self.root is None:
            raise DeblurzooError(
                f"{self.key}.root is not set, and the test exposures are not in {self.key}.cache={self.cache}: set "
                f"{self.key}.root to the folder of the photos, from whose files they are rendered once"
            )
        (clip,) = self.clip_files("test")
        sources = []
        for path in clip.sharp:
            try:
                sources += inspect(path, photographs=True)
            except DeblurzooError as error:
                log.warning("left out: %s", error)
        if not sources:
            raise DeblurzooError(
                f"no test photo of {self.key}.root={self.root} can be read: set {self.key}.test.names to other photos"
            )
        cut = Cut(split="source", test_share=1.0, exposures=self.test.exposures)
        recipe = Recipe(cut, Camera(), self.blur.shake, shorter_side=self.blur.shorter_side)
        log.info("rendering the test exposures of %d photos, once, in %s", len(clip.sharp), folder)
        write_folder(sources, folder, recipe, wait=True)
        for reason in read_synthesis(folder).refused:
            log.warning("left out: %s", reason)

    def problems(self) -> list[str]:
        """Return a line for each photo that cannot be read."""
        photos = [photo for split in self.splits for clip in self.clips(split) for photo in clip.sharp]
        with ThreadPoolExecutor() as pool:
            return [f"unreadable: {reason}" for reason in pool.map(_unreadable, photos) if reason]


def _others(names: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """Return the names that are not `left_out`."""
    known = {*left_out}
    return [name for name in names if name not in known]


def _digest(photo: Frame) -> str:
    """Return a digest of the pixels of a photo; empty if it cannot be read."""
    try:
        return hashlib.blake2b(np.ascontiguousarray(photo.read()).data, digest_size=16).hexdigest()
    except DeblurzooError:
        return ""


def _unreadable(photo: Frame) -> str | None:
    try:
        photo.read()
    except DeblurzooError as error:
        return str(error)
    return None
