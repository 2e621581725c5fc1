"""A data set packed by `deblurzoo data pack`: one uint8 array per clip and kind, and an index of them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from deblurzoo.data.frames import Clip, PackedFrame
from deblurzoo.data.images import Image
from deblurzoo.errors import DeblurzooError
from deblurzoo.records import first_problem

INDEX, UNFINISHED = "index.json", "unfinished.json"
Kind = Literal["blur", "sharp"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Source = tuple[str, int, int]
"""Name, size in bytes and time of change in ns of a picture."""


def sources(paths: Iterable[Path]) -> list[Source]:
    """Return what tells whether pictures are those that were packed."""
    return [(path.name, (found := path.stat()).st_size, found.st_mtime_ns) for path in paths]


@dataclass(frozen=True)
class PackedClip:
    """One entry of the index: a clip, the pictures it was made of, and its arrays."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    split: str
    name: str
    stems: list[str]
    height: int
    width: int
    sources: dict[Kind, list[Source]]
    sha256: dict[Kind, str]
    """Of the pixels, without the header of the file."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3) of both arrays."""
        return len(self.stems), self.height, self.width, 3

    @property
    def nbytes(self) -> int:
        """Bytes of pixels in each of both arrays."""
        return len(self.stems) * self.height * self.width * 3

    def file(self, pack: Path, kind: Kind) -> Path:
        """Return where an array lies."""
        return pack / self.split / f"{self.name}.{kind}.npy"

    def clip(self, pack: Path) -> Clip:
        """Return the frames, none of them read yet."""
        blur, sharp = (self._frames(self.file(pack, kind), self.sources[kind]) for kind in KINDS)
        return Clip(self.name, blur, sharp)

    def _frames(self, file: Path, pictures: list[Source]) -> tuple[PackedFrame, ...]:
        named = enumerate(zip(self.stems, pictures, strict=True))
        return tuple(PackedFrame(file, index, stem, name, size) for index, (stem, (name, size, _)) in named)

    def stale(self, clip: Clip) -> str | None:
        """Return the first picture of a clip that is not the one packed, or None."""
        for kind, frames in zip(KINDS, (clip.blur, clip.sharp), strict=True):
            paths = [frame for frame in frames if isinstance(frame, Path)]
            then, now = self.sources[kind], sources(paths)
            if then != now:
                changed = {name for name, *_ in set(then) ^ set(now)}
                return f"{kind}/{min(changed)}"
        return None

    def damage(self, pack: Path, pixels: bool) -> str | None:
        """Return what is wrong with the arrays, or None: file and shape, and all `pixels` if asked."""
        for kind in KINDS:
            file = self.file(pack, kind)
            try:
                array: Any = np.load(file, mmap_mode="r")
            except (OSError, ValueError, EOFError) as error:
                return f"{file} is missing or truncated ({error})"
            if not isinstance(array, np.ndarray):
                return f"{file} is no array"
            if array.shape != self.shape or array.dtype != np.uint8:
                return f"{file} has shape {array.shape} of {array.dtype}, the index says {self.shape} of uint8"
            if pixels and digest(array) != self.sha256[kind]:
                return f"{file} is corrupted: its pixels are not those that were packed"
        return None


def digest(array: Image) -> str:
    """Return the SHA-256 of an array's bytes, frame by frame."""
    sha256 = hashlib.sha256()
    for frame in array:
        sha256.update(frame)
    return sha256.hexdigest()


@dataclass(frozen=True)
class Index:
    """What a pack holds: the clips of one data set."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    dataset: str
    protocol: str
    blur_folder: str
    clips: list[PackedClip]
    format: Literal[1] = 1
    """Version of the index."""

    def encode(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def read(cls, file: Path) -> "Index":
        """Read it from a file; raise a DeblurzooError if that is no index of this version."""
        try:
            index = TypeAdapter(cls).validate_json(file.read_bytes(), strict=True)
            _require_sane(index.clips)
            return index
        except (OSError, ValueError) as error:
            reason = first_problem(error) if isinstance(error, ValidationError) else error
            raise DeblurzooError(f"{file} is no index of a pack ({reason}): pack again into another folder") from error

    def of(self, split: str) -> Iterator[PackedClip]:
        """Give the clips of a split."""
        return (clip for clip in self.clips if clip.split == split)

    def require_of(self, dataset: str, blur_folder: str, key: str, pack: Path) -> None:
        """Raise a DeblurzooError, naming the config key, if the pack is of another data set or blur folder."""
        theirs, ours = (self.dataset, self.blur_folder), (dataset, blur_folder)
        if theirs != ours:
            raise DeblurzooError(
                f"{key}={pack} is a pack of {' '.join(theirs)}/, not of {' '.join(ours)}/: "
                f"set another {key}, or null to read the pictures"
            )

    def undamaged(self, split: str, key: str, pack: Path) -> list[Clip]:
        """Return the clips of a split; raise a DeblurzooError, naming the config key, if an array is missing or cut."""
        for entry in self.of(split):
            if damage := entry.damage(pack, pixels=False):
                raise DeblurzooError(f"{key}: {damage}: run `deblurzoo data pack` again, or copy the file again")
        return [entry.clip(pack) for entry in self.of(split)]

    def changes(self, split: str, pictures: Mapping[str, Callable[[], Clip]]) -> dict[str, str]:
        """Return the clips that the data set's folders have otherwise now, by name, and why.

        Args:
            split: to compare.
            pictures: how to pair the pictures of each clip of the folders, which may raise a DeblurzooError.
        """
        found, changed = {}, {}
        for name, pair in pictures.items():
            try:
                clip = pair()
            except DeblurzooError as error:
                changed[name] = f"is incomplete now: {error}"
                continue
            if clip.blur:
                found[name] = clip
        packed = {entry.name: entry for entry in self.of(split) if entry.name not in changed}
        changed |= dict.fromkeys(found.keys() - packed.keys(), "is not in the pack")
        changed |= dict.fromkeys(packed.keys() - found.keys(), "is in the pack alone")
        for name in packed.keys() & found.keys():
            if picture := packed[name].stale(found[name]):
                changed[name] = f"has another {picture} than the one packed"
        return dict(sorted(changed.items()))


def _require_sane(clips: list[PackedClip]) -> None:
    """Raise a ValueError for names that lead out of the pack, or that are there twice, and for missing checksums."""
    if len({(clip.split, clip.name) for clip in clips}) != len(clips):
        raise ValueError("a clip is there twice")
    for clip in clips:
        if any(not name or {"/", "\\"} & set(name) or name == ".." for name in (clip.split, clip.name, *clip.stems)):
            raise ValueError(f"clip {clip.name!r} has a name that is no file's")
        if len(set(clip.stems)) != len(clip.stems) or set(clip.sha256) != set(KINDS) or set(clip.sources) != set(KINDS):
            raise ValueError(f"clip {clip.name} has frames twice, or lacks checksums")
        for pictures in clip.sources.values():
            if [tuple(map(type, picture)) for picture in pictures] != [(str, int, int)] * len(clip.stems):
                raise ValueError(f"clip {clip.name} does not say name, size and time of each picture")


def open_pack(key: str, folder: Path) -> Index:
    """Return the index of the pack that config key `key` names.

    Raises:
        DeblurzooError: it is no pack, or unfinished.
    """
    if (folder / UNFINISHED).exists():
        raise DeblurzooError(f"{key}={folder} is not finished: run the same `deblurzoo data pack` again")
    if not (folder / INDEX).exists():
        raise DeblurzooError(f"{key}={folder} has no {INDEX}: set {key} to a folder made by `deblurzoo data pack`")
    return Index.read(folder / INDEX)
