"""What a frame pair is: clips of consecutive blurry and sharp frames, and the samples that networks read."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Self

from deblurzoo.data.frames import Clip, Frame
from deblurzoo.data.layout import ClipFiles, Pairs
from deblurzoo.data.packs import Index, open_pack
from deblurzoo.errors import DeblurzooError, require_utf8
from deblurzoo.media.naming import described, gaps, natural, require_frames, runs

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


def _around(run: range, index: int, frames: int) -> list[int]:
    """Return the indices of the frames that a network of `frames` frames reads to restore one; none at an end."""
    around = [index + offset for offset in NEIGHBOURS[frames]]
    return around if all(other in run for other in around) else []


class Source(ABC):
    """A data set: which pictures a network restores, and how they are measured.

    A subclass sets `name`, `protocol` and `blur_folder` (printed in every result), `consecutive` where pictures do not
    follow each other, and `official`: frames per clip and split of the published data set, empty where there is none.

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
    """A key of `deblurzoo.metrics.protocols.MEASURES`."""
    blur_folder: str
    splits: tuple[str, ...] = ("train", "test")
    consecutive = True
    """Whether the frames of a clip follow each other; else each picture is one of its own, of any size."""
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

    def require_consecutive(self, frames: int) -> None:
        """Raise a DeblurzooError if a network of several frames is to restore pictures that are not consecutive."""
        if self.consecutive:
            return
        if self.common_frames not in (None, 1):
            raise DeblurzooError(
                f"{self.key}.common_frames={self.common_frames} needs consecutive pictures, and those of {self.name} "
                "are not: set null"
            )
        if frames > 1:
            raise DeblurzooError(
                f"the pictures of {self.name} are not consecutive, and this network reads {frames} frames: choose a "
                "network of one frame, or another data set"
            )


class ClipSource(Source):
    """A data set of paired pictures in clips: a subclass lists their files, everything else is shared.

    Args:
        common_frames: as in `Source`.
        packed: a folder that `deblurzoo data pack` made of this data set, to read from; its pictures may be gone.
    """

    def __init__(self, common_frames: int | None = None, packed: str | None = None) -> None:
        super().__init__(common_frames)
        self.packed = packed
        self.parts: tuple[ClipSource, ...] = (self,)
        """The data sets that this one consists of, each packed by itself."""
        self._told: set[tuple[str, str]] = set()

    @abstractmethod
    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the clips of a split in order; raise DeblurzooError if the data set is not there."""

    def restored_frames(self, clip: Clip, split: str) -> set[str]:
        """Return the frames that the protocol restores; all of them unless overridden."""
        return set(clip.frames)

    def clips(self, split: str) -> list[Clip]:
        """Return the paired frames of every clip.

        Raises:
            DeblurzooError: a frame lacks its partner or is there twice, the split is empty, or the pack is not of
                these pictures.
        """
        clips = self._packed_clips(split) if self.packed else [pairs.clip() for pairs in self.pairs(split)]
        if not any(clip.blur for clip in clips):
            raise DeblurzooError(
                f"the {split} split of {self.name} has no frames (looked for {self.blur_folder}/ pictures): "
                f"run `deblurzoo data check data={self.name}`"
            )
        return clips

    def pairs(self, split: str) -> list[Pairs]:
        """Return the paired files of every clip in the folders of the data set; raise as `clips`."""
        clips = [self._pair(files) for files in self.clip_files(split)]
        if twice := [name for name, count in Counter(clip.name for clip in clips).items() if count > 1]:
            raise DeblurzooError(f"the {split} split of {self.name} has two clips called {twice[0]}: rename one")
        return clips

    @cached_property
    def index(self) -> Index:
        """What the pack holds; raise a DeblurzooError if it is none, or of another data set."""
        key, pack = f"{self.key}.packed", Path(str(self.packed))
        index = open_pack(key, pack)
        index.require_of(self.name, self.blur_folder, key, pack)
        if self.consecutive and not index.consecutive:
            raise DeblurzooError(
                f"{key}={pack} has pictures that are not consecutive: set {self.key}.consecutive=false"
            )
        return index

    def changed_clips(self, split: str) -> dict[str, str]:
        """Return the packed clips whose pictures are others now, and why; none where there are no pictures."""
        try:
            clips = self.clip_files(split)
        except DeblurzooError:  # gone, as where only the pack was copied to
            return {}
        return self.index.changes(split, {files.name: partial(self._pair, files) for files in clips})

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

    def _pair(self, files: ClipFiles) -> Pairs:
        blur, sharp = (require_frames(paths, files.frame) for paths in (files.blur, files.sharp))
        if alone := sorted(blur.keys() ^ sharp.keys(), key=natural):
            path, lacking = (blur[alone[0]], "sharp") if alone[0] in blur else (sharp[alone[0]], "blurry")
            raise DeblurzooError(
                f"{path} has no {lacking} partner ({len(alone)} unpaired in clip {files.name}): complete the clip; "
                f"`deblurzoo data check data={self.name}` lists them all"
            )
        for name in (files.name, *blur, *map(str, blur.values()), *map(str, sharp.values())):
            require_utf8(name)
        return Pairs(files.name, tuple(blur), tuple(blur.values()), tuple(sharp[frame] for frame in blur))

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return what a network of `frames` frames can restore: frames without the needed neighbours are left out."""
        self.require_consecutive(frames)
        needed = max(frames, self.common_frames or 1)
        samples, left_out = [], 0
        for clip in self.clips(split):
            wanted = self.restored_frames(clip, split)
            for run in self._runs(split, clip) if needed > 1 else [range(len(clip.frames))]:
                for index in run:
                    if clip.frames[index] not in wanted:
                        continue
                    if around := _around(run, index, needed)[:frames]:
                        blur, sharp = (tuple(kind[i] for i in around) for kind in (clip.blur, clip.sharp))
                        samples.append(Sample(self.name, clip.name, clip.frames[index], blur, sharp))
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

    def _runs(self, split: str, clip: Clip) -> list[range]:
        """Return the stretches of a clip's frames that follow each other; tell of its gaps once."""
        found = gaps(clip.frames)
        if found and (split, clip.name) not in self._told:
            self._told.add((split, clip.name))
            log.warning("clip %s of %s lacks %s: no neighbours across a gap", clip.name, self.name, described(found))
        return runs(len(clip.frames), found)
