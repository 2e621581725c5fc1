"""What a frame pair is: clips of consecutive blurry and sharp frames, and the samples that networks read."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Self

from deblurzoo.data.frames import Clip, Frame
from deblurzoo.data.layout import ClipFolders, pictures
from deblurzoo.data.packed import Index, open_pack
from deblurzoo.errors import DeblurzooError, require_utf8

log = logging.getLogger(__name__)

NEIGHBOURS = {1: (0,), 2: (0, 1), 3: (0, 1, -1)}
"""Offsets of the frames a network of T frames reads: the one to restore, its next, its previous."""


@dataclass(frozen=True)
class Sample:
    """T blurry frames, the first of which is to be restored, and what is known of them.

    Args:
        dataset, clip, frame: names; `frame` is unique within its clip.
        blur: the T blurry frames.
        sharp_frames: their sharp pictures.
        references: what a restored picture is measured against where that is not its one sharp picture.
        is_fed_sharp: whether the input is sharp already.
    """

    dataset: str
    clip: str
    frame: str
    blur: tuple[Frame, ...]
    sharp_frames: tuple[Frame, ...]
    references: tuple[Frame, ...] = ()
    is_fed_sharp: bool = False

    @property
    def sharp(self) -> Frame:
        """The sharp picture of the frame to restore."""
        return self.sharp_frames[0]

    def fed_sharp(self) -> Self:
        """Return this sample with its sharp pictures as input: what a network should leave as it is."""
        return replace(self, blur=self.sharp_frames, is_fed_sharp=True)


def _follows(frame: str, other: str, offset: int) -> bool:
    """Whether `other` is `offset` frames after `frame`, as far as their names tell: a gap breaks a clip."""
    return not (frame.isdigit() and other.isdigit()) or int(other) - int(frame) == offset


def _with_neighbours(clip: tuple[Frame, ...], index: int, frames: int) -> tuple[Frame, ...]:
    """Return frame `index` of a clip and the others that a network of `frames` frames reads, or () at an end or gap."""
    offsets = NEIGHBOURS[frames]
    if index + min(offsets) < 0 or index + max(offsets) >= len(clip):
        return ()
    found = tuple(clip[index + offset] for offset in offsets)
    follow = all(_follows(found[0].stem, frame.stem, offset) for frame, offset in zip(found, offsets, strict=True))
    return found if follow else ()


class Source(ABC):
    """A data set: which pictures a network restores, and how they are measured.

    A subclass sets `name`, `protocol` and `blur_folder` (printed in every result), and `official`: frames per clip
    and split of the published data set, empty where there is none.

    Args:
        common_frames: leave out what a network of this many frames cannot restore, so that networks of fewer frames
            are measured on the same pictures; None leaves out what the network itself cannot restore.
    """

    name: str
    key = "data"
    """The config key of this data set, for messages."""
    official: Mapping[str, Mapping[str, int]] = {}
    protocol: str
    measure = "plain"
    """A key of `deblurzoo.protocols.MEASURES`."""
    blur_folder: str
    splits: tuple[str, ...] = ("train", "test")
    root: Path | None = None
    """Where the pictures lie, if that is one folder."""

    def __init__(self, common_frames: int | None = None) -> None:
        if common_frames is not None and common_frames not in NEIGHBOURS:
            raise DeblurzooError(f"data.common_frames={common_frames} must be 1, 2, 3 or null")
        self.common_frames = common_frames

    @abstractmethod
    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return what a network of `frames` frames can restore."""

    @abstractmethod
    def incomplete_clips(self, split: str) -> list[str]:
        """Return the official clips of which frames are missing; results on the rest are not the papers'."""

    def origin(self, split: str) -> dict[str, str]:
        """Return where the pictures of a split are read from, by config key, as the user gave it."""
        return {f"{self.key}.root": str(self.root)} if self.root else {}


class ClipSource(Source):
    """A data set of clips in folders: a subclass lists them, everything else is shared.

    Args:
        common_frames: as in `Source`.
        packed: a folder that `deblurzoo data pack` made of this data set, to read from; its pictures may be gone.
    """

    def __init__(self, common_frames: int | None = None, packed: str | None = None) -> None:
        super().__init__(common_frames)
        self.packed = packed
        self.parts: tuple[ClipSource, ...] = (self,)
        """The data sets that this one consists of, each packed by itself."""

    @abstractmethod
    def folders(self, split: str) -> list[ClipFolders]:
        """Return the clips of a split in order; raise DeblurzooError if the data set is not there."""

    def restored_frames(self, clip: Clip, split: str) -> set[str]:
        """Return the stems of the frames that the protocol restores; all of them unless overridden."""
        return {frame.stem for frame in clip.blur}

    def clips(self, split: str) -> list[Clip]:
        """Return the paired frames of every clip.

        Raises:
            DeblurzooError: a frame lacks its partner, the split is empty, or the pack is not of these pictures.
        """
        clips = self._packed_clips(split) if self.packed else self.unpacked_clips(split)
        if not any(clip.blur for clip in clips):
            raise DeblurzooError(
                f"the {split} split of {self.name} has no frames (looked for {self.blur_folder}/ pictures): "
                f"run `deblurzoo data check data={self.name}`"
            )
        return clips

    def unpacked_clips(self, split: str) -> list[Clip]:
        """Return the clips of a split as they lie in the folders of the data set; raise as `clips`."""
        return [self._pair(folders) for folders in self.folders(split)]

    @cached_property
    def index(self) -> Index:
        """What the pack holds; raise a DeblurzooError if it is none, or of another data set."""
        key, pack = f"{self.key}.packed", Path(str(self.packed))
        index = open_pack(key, pack)
        index.require_of(self.name, self.blur_folder, key, pack)
        return index

    def changed_clips(self, split: str) -> dict[str, str]:
        """Return the packed clips whose pictures are others now, and why; none where there are no pictures."""
        try:
            folders = self.folders(split)
        except DeblurzooError:  # gone, as where only the pack was copied to
            return {}
        return self.index.changes(split, {place.name: partial(self._pair, place) for place in folders})

    def _packed_clips(self, split: str) -> list[Clip]:
        key, pack = f"{self.key}.packed", Path(str(self.packed))
        for name, reason in self.changed_clips(split).items():
            raise DeblurzooError(
                f"{key}={pack} is stale: clip {name} {reason}: run `deblurzoo data pack` again, set {key}=null to read "
                f"the pictures, or {self.key}.root=null to use the pack as it is"
            )
        return self.index.undamaged(split, key, pack)

    def origin(self, split: str) -> dict[str, str]:
        """Return where the pictures of a split are read from, by config key, as the user gave it."""
        return {f"{self.key}.packed": self.packed} if self.packed else super().origin(split)

    def incomplete_clips(self, split: str) -> list[str]:
        """Return the official clips of which frames are missing; results on the rest are not the papers'."""
        found = {clip.name: len(clip.blur) for clip in self.clips(split)}
        return [name for name, frames in self.official.get(split, {}).items() if found.get(name, 0) < frames]

    def _pair(self, folders: ClipFolders) -> Clip:
        blur, sharp = pictures(folders.blur), pictures(folders.sharp)
        if alone := sorted(blur.keys() ^ sharp.keys()):
            where = folders.sharp if alone[0] in blur else folders.blur
            raise DeblurzooError(
                f"{where} lacks the partner of frame {alone[0]} ({len(alone)} unpaired in clip {folders.name}): "
                f"complete the folder; `deblurzoo data check data={self.name}` lists them all"
            )
        for name in (str(folders.blur), folders.name, *map(str, blur.values()), *map(str, sharp.values())):
            require_utf8(name)
        return Clip(folders.name, tuple(blur.values()), tuple(sharp[stem] for stem in blur))

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return what a network of `frames` frames can restore: frames without the needed neighbours are left out."""
        needed = max(frames, self.common_frames or 1)
        samples, left_out = [], 0
        for clip in self.clips(split):
            wanted = self.restored_frames(clip, split)
            for index, frame in enumerate(clip.blur):
                if frame.stem not in wanted:
                    continue
                blur = _with_neighbours(clip.blur, index, needed)[:frames]
                if blur:
                    sharp = _with_neighbours(clip.sharp, index, needed)[:frames]
                    samples.append(Sample(self.name, clip.name, frame.stem, blur, sharp))
                else:
                    left_out += 1
        if not samples:
            raise DeblurzooError(f"the {split} split of {self.name} has no {needed} consecutive frames anywhere")
        if left_out:
            log.info(
                "%d of %d %s frames are left out: %d consecutive ones are needed",
                *(left_out, left_out + len(samples), split, needed),
            )
        return samples
