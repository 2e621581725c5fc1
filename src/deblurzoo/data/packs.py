"""Packs, made by `deblurzoo data pack`: an index, and uint8 arrays of the blurry and the sharp images of each clip."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError

from deblurzoo.data.frames import Clip, Kind, PackedFrame, UnreadablePhoto
from deblurzoo.data.layout import Pairs
from deblurzoo.errors import DeblurzooError, unusable
from deblurzoo.media import Image
from deblurzoo.media.naming import natural
from deblurzoo.records import first_problem

INDEX, UNFINISHED = "index.json", "unfinished.json"
KINDS: tuple[Kind, ...] = get_args(Kind)
FileStamp = tuple[str, int, int]
"""Name, size in bytes and modification time in ns of an image file."""
LeftOut = tuple[str, int, tuple[int, int] | None]
"""Name and size in bytes of a photo, and its width and height, or None if its header is invalid."""


def stamps(paths: Iterable[Path]) -> list[FileStamp]:
    """Return the stamps of image files. A different stamp shows that a file was changed after packing."""
    return [(path.name, (found := path.stat()).st_size, found.st_mtime_ns) for path in paths]


@dataclass(frozen=True)
class PackedClip:
    """Index entry of a clip: its frames, the stamps of the packed image files, and the checksums of its arrays."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    split: str
    name: str
    frames: list[str]
    """Frame names, in the order of the arrays."""
    sizes: list[tuple[PositiveInt, PositiveInt]]
    """Width and height of each frame."""
    sources: dict[Kind, list[FileStamp]]
    """Stamps of the packed files; only of the sharp images if there are no blurry ones."""
    sha256: dict[Kind, str]
    """SHA-256 of the pixels, without the file header."""
    left_out: list[LeftOut] = field(default_factory=list)
    """The photos that could not be read when the data set was packed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of each array: (N, H, W, 3) if all frames have the same size, otherwise flat (nbytes,)."""
        (width, height), *others = set(self.sizes)
        return (self.nbytes,) if others else (len(self.frames), height, width, 3)

    @property
    def nbytes(self) -> int:
        """Size of each array in bytes, without the file header."""
        return sum(3 * prod(size) for size in self.sizes)

    def file(self, pack: Path, kind: Kind) -> Path:
        """Return the path of an array."""
        return pack / self.split / f"{self.name}.{kind}.npy"

    def clip(self, pack: Path) -> Clip:
        """Return the clip with its frames in natural order; frames are read on demand."""
        order = sorted(range(len(self.frames)), key=lambda index: natural(self.frames[index]))
        arrays = {kind: self._frames(self.file(pack, kind), files) for kind, files in self.sources.items()}
        found = {kind: tuple(frames[index] for index in order) for kind, frames in arrays.items()}
        sharp = found["sharp"]
        return Clip(self.name, tuple(self.frames[index] for index in order), found.get("blur", sharp), sharp)

    def _frames(self, file: Path, pictures: list[FileStamp]) -> list[PackedFrame]:
        found, offset = [], 0
        for (width, height), (name, size, _) in zip(self.sizes, pictures, strict=True):
            found.append(PackedFrame(file, offset, height, width, name, size))
            offset += 3 * width * height
        return found

    def stale(self, clip: Pairs) -> str | None:
        """Return the first image file (`kind/name`) that was changed, added or removed since packing, or None."""
        for kind in self.sources:
            paths = clip.of(kind)
            then = set(zip(self.frames, self.sources[kind], strict=True))
            now = set(zip(clip.frames, stamps(paths), strict=True))
            if changed := {name for _, (name, *_) in then ^ now}:
                return f"{kind}/{min(changed, key=natural)}"
        return None

    def damage(self, pack: Path, pixels: bool) -> str | None:
        """Return an error message for a missing or corrupt array, or None; checksums are compared only if `pixels`."""
        for kind in self.sources:
            file = self.file(pack, kind)
            try:
                array: Any = np.load(file, mmap_mode="r")
            except (OSError, ValueError, EOFError) as error:
                return f"{file} is missing or truncated ({error})"
            if not isinstance(array, np.ndarray):
                return f"{file} does not contain a single array"
            if array.shape != self.shape or array.dtype != np.uint8:
                return f"{file} is {array.dtype} {array.shape}, but the index declares uint8 {self.shape}"
            if pixels and digest(array) != self.sha256[kind]:
                return f"{file} is corrupt: its checksum differs from the checksum in the index"
        return None

    def unreadable(self, pack: Path) -> list[UnreadablePhoto]:
        """Return the photos that could not be read when the data set was packed."""
        return [UnreadablePhoto(pack, *photo) for photo in self.left_out]


def digest(array: Image) -> str:
    """Return the SHA-256 of an array's bytes, computed in chunks to limit memory."""
    sha256, flat = hashlib.sha256(), array.reshape(-1)
    for start in range(0, flat.size, 1 << 24):
        sha256.update(flat[start : start + (1 << 24)].data)
    return sha256.hexdigest()


@dataclass(frozen=True)
class Index:
    """Index of a pack: the clips of one data set."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    dataset: str
    protocol: str
    blur_folder: str
    consecutive: bool
    """Whether the frames of a clip are consecutive."""
    clips: list[PackedClip]
    format: Literal[2] = 2
    """Version of the index format."""

    def encode(self) -> bytes:
        """Return the index as JSON. Older versions can read it if no photos are left out."""
        content = asdict(self)
        for clip in content["clips"]:
            if not clip["left_out"]:
                del clip["left_out"]
        return json.dumps(content, indent=1).encode()

    @classmethod
    def read(cls, file: Path) -> "Index":
        """Load an index of any supported format; raise a DeblurzooError if the index is invalid."""
        try:
            index: Index | _Index1 = _ANY_INDEX.validate_json(file.read_bytes(), strict=True)
            index = index.as_now() if isinstance(index, _Index1) else index
            _require_sane(index.clips)
            return index
        except (OSError, ValueError) as error:
            reason = first_problem(error) if isinstance(error, ValidationError) else error
            raise DeblurzooError(f"{file} is not a pack index ({reason}): pack again into another folder") from error

    def of(self, split: str) -> Iterator[PackedClip]:
        """Yield the clip entries of a split."""
        return (clip for clip in self.clips if clip.split == split)

    def require_of(self, dataset: str, blur_folder: str, key: str, pack: Path) -> None:
        """Raise a DeblurzooError unless the pack was made from this data set and blur folder.

        `key` and `pack` are the config key of the pack and its folder, for the message.
        """
        theirs, ours = (self.dataset, self.blur_folder), (dataset, blur_folder)
        if theirs != ours:
            raise DeblurzooError(
                f"{key}={pack} is a pack of {' '.join(theirs)}/, not of {' '.join(ours)}/: "
                f"set another {key}, or null to read the image files"
            )

    def undamaged(self, split: str, key: str, pack: Path) -> list[Clip]:
        """Return the clips of a split; raise a DeblurzooError that states `key` if an array is missing or invalid."""
        for entry in self.of(split):
            if damage := entry.damage(pack, pixels=False):
                raise DeblurzooError(f"{key}: {damage}: run `deblurzoo data pack` again, or copy the file again")
        return [entry.clip(pack) for entry in self.of(split)]

    def changes(self, split: str, pictures: Mapping[str, Callable[[], Pairs]]) -> dict[str, str]:
        """Return the clips whose image files differ from the pack, as a dict from clip name to reason.

        Args:
            split: the split to compare.
            pictures: for each clip name, a function that returns the paired image files or raises a DeblurzooError.
        """
        found, changed = {}, {}
        for name, pair in pictures.items():
            try:
                clip = pair()
            except DeblurzooError as error:
                changed[name] = f"can no longer be paired: {error}"
                continue
            if clip.blur:
                found[name] = clip
        packed = {entry.name: entry for entry in self.of(split) if entry.name not in changed}
        changed |= dict.fromkeys(found.keys() - packed.keys(), "is not in the pack")
        changed |= dict.fromkeys(packed.keys() - found.keys(), "exists only in the pack")
        for name in packed.keys() & found.keys():
            try:
                if picture := packed[name].stale(found[name]):
                    changed[name] = f"differs from the pack in {picture}"
            except OSError as error:
                changed[name] = f"cannot be compared: {unusable(error)}"
        return {name: changed[name] for name in sorted(changed, key=natural)}


@dataclass(frozen=True)
class _Clip1:
    """A clip of index format 1. All its frames have the same size."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    split: str
    name: str
    stems: list[str]
    height: PositiveInt
    width: PositiveInt
    sources: dict[Kind, list[FileStamp]]
    sha256: dict[Kind, str]

    def as_now(self) -> PackedClip:
        sizes = [(self.width, self.height)] * len(self.stems)
        return PackedClip(self.split, self.name, self.stems, sizes, self.sources, self.sha256)


@dataclass(frozen=True)
class _Index1:
    """An index of format 1. Arrays are as in format 2, but clips and frames are in lexicographic order."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    dataset: str
    protocol: str
    blur_folder: str
    clips: list[_Clip1]
    format: Literal[1]

    def as_now(self) -> Index:
        clips = sorted((clip.as_now() for clip in self.clips), key=lambda clip: natural(clip.name))
        return Index(self.dataset, self.protocol, self.blur_folder, True, clips)


_ANY_INDEX: TypeAdapter[Any] = TypeAdapter(Annotated[Index | _Index1, Field(discriminator="format")])


def _require_sane(clips: list[PackedClip]) -> None:
    """Raise a ValueError for duplicate or invalid names, and for missing sizes, checksums or stamps."""
    if len({(clip.split, clip.name) for clip in clips}) != len(clips):
        raise ValueError("a clip is listed twice")
    for clip in clips:
        left_out = [name for name, *_ in clip.left_out]
        if any(not _is_name(name) for name in (clip.split, clip.name, *clip.frames, *left_out)):
            raise ValueError(f"clip {clip.name!r}: split, clip and frame names must be valid file names")
        is_repeated = len({*clip.frames, *left_out}) != len(clip.frames) + len(left_out)
        if is_repeated or not clip.frames or len(clip.sizes) != len(clip.frames):
            raise ValueError(f"clip {clip.name} has no frames, duplicate frames, or not exactly one size per frame")
        if set(clip.sha256) != set(clip.sources) or "sharp" not in clip.sources:
            raise ValueError(f"clip {clip.name} lacks the checksum or the stamps of its blurry or its sharp images")
        for pictures in clip.sources.values():
            if [tuple(map(type, picture)) for picture in pictures] != [(str, int, int)] * len(clip.frames):
                raise ValueError(f"clip {clip.name} lacks the name, the size or the modification time of an image file")


def _is_name(name: str) -> bool:
    return bool(name) and not {"/", "\\"} & set(name) and name != ".." and len(name) <= 255


def open_pack(key: str, folder: Path) -> Index:
    """Return the index of the pack in `folder`. `key` is the config key of this folder, for messages.

    Raises:
        DeblurzooError: the folder is not a pack, or the pack is unfinished.
    """
    if (folder / UNFINISHED).exists():
        raise DeblurzooError(f"{key}={folder} is unfinished: run the same `deblurzoo data pack` again to resume it")
    if not (folder / INDEX).exists():
        raise DeblurzooError(f"{key}={folder} has no {INDEX}: set {key} to a folder made by `deblurzoo data pack`")
    return Index.read(folder / INDEX)
