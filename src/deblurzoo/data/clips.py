"""Base classes of data sets: clips of paired blurry and sharp frames, and the samples that networks read."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Self

from deblurzoo.data.frames import Clip, Frame, Kind
from deblurzoo.data.layout import ClipFiles, Pairs
from deblurzoo.data.packs import KINDS, Index, open_pack
from deblurzoo.errors import DeblurzooError, require_utf8
from deblurzoo.media.naming import described, gaps, natural, require_frames, runs
from deblurzoo.synthesis.motion import Motion
from deblurzoo.synthesis.stills import PhotoBlur

log = logging.getLogger(__name__)

NEIGHBOURS = {1: (0,), 2: (0, 1), 3: (0, 1, -1)}
"""Frame offsets for each number of input frames, T: 0 is the frame to restore, 1 the next, and -1 the previous."""
LONGEST_NAMES = 240
"""Largest number of bytes of the names of a clip and a frame together, so that `CLIP_FRAME.png` can be written."""


@dataclass(frozen=True)
class Sample:
    """T blurry frames and their ground truth. A network restores the first frame.

    Args:
        dataset, clip, frame: names; `frame` is unique within its clip.
        blur: the T blurry frames.
        sharp_frames: the sharp images of the same frames.
        references: sharp images with which the restored image is compared; empty if it is compared only with `sharp`.
        is_fed_sharp: whether `blur` contains sharp images, see `fed_sharp`.
        flow: file with the true flow from the frame to restore to the next frame, (2, H, W); None if it is unknown.
        length: file with the blur length of each tile of the frame to restore, (rows, columns); None if it is unknown.
        neighbours: the sharp images of the previous and the next frame of the clip, for any number of frames T; empty
            for single images.
        simulated: the blur to be simulated for training. All frames are then the same sharp photo.
    """

    dataset: str
    clip: str
    frame: str
    blur: tuple[Frame, ...]
    sharp_frames: tuple[Frame, ...]
    references: tuple[Frame, ...] = ()
    is_fed_sharp: bool = False
    flow: Path | None = None
    length: Path | None = None
    neighbours: tuple[Frame, ...] = ()
    simulated: PhotoBlur | None = None

    @property
    def sharp(self) -> Frame:
        """The sharp image of the frame to restore."""
        return self.sharp_frames[0]

    def fed_sharp(self) -> Self:
        """Return this sample with its sharp images as input. A network should leave sharp images unchanged."""
        return replace(self, blur=self.sharp_frames, is_fed_sharp=True)

    def single(self) -> Self:
        """Return this sample for a network of one input frame."""
        return replace(self, blur=self.blur[:1], sharp_frames=self.sharp_frames[:1])


def _around(run: range, index: int, frames: int) -> list[int]:
    """Return the indices of the frames from which frame `index` is restored; empty if a neighbour is missing."""
    around = [index + offset for offset in NEIGHBOURS[frames]]
    return around if all(other in run for other in around) else []


class Source(ABC):
    """Base class of data sets. A data set lists the samples of each split, and selects the measure of its evaluation.

    Subclasses set `name`, `protocol` (rules of the evaluation, see docs/protocols.md) and `blur_folder`, which are part
    of every result. `consecutive = False` declares that images are not frames of a video. `official` maps each split of
    a published data set to the number of frames of each clip; it is empty for unpublished data sets.

    Args:
        common_frames: use only frames that a network with this number of input frames can restore, so that networks
            with fewer input frames are compared on the same frames. None uses all frames that the network itself can
            restore.
    """

    name: str
    key = "data"
    """Config key of this data set, for messages."""
    official: Mapping[str, Mapping[str, int]] = {}
    protocol: str
    measure = "plain"
    """The procedure that computes metrics, a key of `deblurzoo.metrics.protocols.MEASURES`."""
    blur_folder: str
    splits: tuple[str, ...] = ("train", "test")
    consecutive = True
    """Whether the frames of a clip are consecutive. If not, different pairs may have different image sizes."""
    independent = False
    """Whether the images of a clip are independent of each other: they then count as clips in intervals."""
    root: Path | None = None
    """Folder of the data set; None for data sets without a single folder."""

    def __init__(self, common_frames: int | None = None) -> None:
        if common_frames is not None and common_frames not in NEIGHBOURS:
            raise DeblurzooError(f"data.common_frames={common_frames} must be 1, 2, 3 or null")
        self.common_frames = common_frames
        self.parts: tuple[Source, ...] = (self,)
        """Data sets that are checked and packed separately: the members of a `Joined` data set, otherwise itself."""

    @abstractmethod
    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return the samples of a split for a network with `frames` input frames."""

    @abstractmethod
    def incomplete_clips(self, split: str) -> list[str]:
        """Return the official clips that lack frames. Results on incomplete clips are not comparable with papers."""

    def origin(self, split: str) -> dict[str, str]:
        """Return {config key: folder} of the folders from which a split is read, as set by the user."""
        return {f"{self.key}.root": str(self.root)} if self.root else {}

    def require_consecutive(self, frames: int) -> None:
        """Raise a DeblurzooError if consecutive frames are required, but the images are not consecutive."""
        if self.consecutive:
            return
        if self.common_frames not in (None, 1):
            raise DeblurzooError(
                f"{self.key}.common_frames={self.common_frames} requires consecutive frames, but the images of "
                f"{self.name} are not consecutive: set {self.key}.common_frames=null"
            )
        if frames > 1:
            raise DeblurzooError(
                f"the images of {self.name} are not consecutive, but this network reads {frames} frames: choose a "
                "network with one input frame, or another data set"
            )


class ClipSource(Source):
    """Base class of data sets that consist of clips with paired images. Subclasses implement `clip_files`.

    Args:
        common_frames: see `Source`.
        packed: a pack of this data set, made by `deblurzoo data pack`. With a pack, the image files are optional.
    """

    kinds: tuple[Kind, ...] = KINDS
    """The images that a pack contains."""

    def __init__(self, common_frames: int | None = None, packed: str | None = None) -> None:
        super().__init__(common_frames)
        self.packed = packed
        self._told: set[tuple[str, str]] = set()

    def use_pack(self, folder: str) -> None:
        """Read the images from a pack in a folder."""
        self.packed = folder

    @abstractmethod
    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the files of each clip of a split in order; raise a DeblurzooError if the data set does not exist."""

    def restored_frames(self, clip: Clip, split: str) -> set[str]:
        """Return the names of the frames that the protocol restores; by default, all frames."""
        return set(clip.frames)

    def motion_file(self, kind: Motion, split: str, clip: str, frame: str) -> Path | None:
        """Return the file of the true flow from a frame to the next, or of its blur lengths, if there is one."""
        return None

    def clips(self, split: str) -> list[Clip]:
        """Return the paired frames of every clip.

        Raises:
            DeblurzooError: a frame is unpaired or ambiguous, the split is empty, or the pack does not match the image
                files.
        """
        clips = self._packed_clips(split) if self.packed else [pairs.clip() for pairs in self.pairs(split)]
        if not any(clip.blur for clip in clips):
            raise DeblurzooError(
                f"the {split} split of {self.name} has no frames (searched for {self.blur_folder}/ images): "
                f"run `deblurzoo data check data={self.name}`"
            )
        return clips

    def pairs(self, split: str) -> list[Pairs]:
        """Return the paired image files of every clip; for errors, see `clips`."""
        clips = [self._pair(files) for files in self.clip_files(split)]
        if twice := [name for name, count in Counter(clip.name for clip in clips).items() if count > 1]:
            raise DeblurzooError(f"the {split} split of {self.name} has two clips named {twice[0]}: rename one")
        return clips

    @cached_property
    def index(self) -> Index:
        """The index of the pack; raises a DeblurzooError if it is invalid or belongs to a different data set."""
        key, pack = f"{self.key}.packed", Path(str(self.packed))
        index = open_pack(key, pack)
        index.require_of(self.name, self.blur_folder, key, pack)
        if self.consecutive and not index.consecutive:
            raise DeblurzooError(
                f"{key}={pack} contains images that are not consecutive: set {self.key}.consecutive=false"
            )
        return index

    def changed_clips(self, split: str) -> dict[str, str]:
        """Return {name: reason} of the clips that differ from the pack; empty if the image files do not exist."""
        try:
            clips = self.clip_files(split)
        except DeblurzooError:  # for example, on a machine that has only the pack
            return {}
        return self.index.changes(split, {files.name: partial(self._pair, files) for files in clips})

    def _packed_clips(self, split: str) -> list[Clip]:
        key, pack = f"{self.key}.packed", Path(str(self.packed))
        for name, reason in self.changed_clips(split).items():
            raise DeblurzooError(
                f"{key}={pack} is stale: clip {name} {reason}: run `deblurzoo data pack` again, set {key}=null to read "
                f"the image files, or {self.key}.root=null to read the pack without this check"
            )
        return self.index.undamaged(split, key, pack)

    def origin(self, split: str) -> dict[str, str]:
        """Return {config key: folder} of the folders from which a split is read, as set by the user."""
        return {f"{self.key}.packed": self.packed} if self.packed else super().origin(split)

    def incomplete_clips(self, split: str) -> list[str]:
        """Return the official clips that lack frames. Results on incomplete clips are not comparable with papers."""
        found = {clip.name: len(clip.blur) for clip in self.clips(split)}
        return [name for name, frames in self.official.get(split, {}).items() if found.get(name, 0) < frames]

    def _pair(self, files: ClipFiles) -> Pairs:
        for error in files.unreadable:
            raise error
        blur, sharp = (require_frames(paths, files.frame) for paths in (files.blur, files.sharp))
        if alone := sorted(blur.keys() ^ sharp.keys(), key=natural):
            path, lacking = (blur[alone[0]], "sharp") if alone[0] in blur else (sharp[alone[0]], "blurry")
            raise DeblurzooError(
                f"{path} has no {lacking} counterpart ({len(alone)} unpaired in clip {files.name}): complete the clip; "
                f"`deblurzoo data check data={self.name}` lists all unpaired files"
            )
        for name in (files.name, *blur, *map(str, blur.values()), *map(str, sharp.values())):
            require_utf8(name)
        for frame, path in blur.items():
            if len(files.name.encode()) + len(frame.encode()) > LONGEST_NAMES:
                raise DeblurzooError(
                    f"{path}: the names of the clip and the frame have more than {LONGEST_NAMES} bytes together, and "
                    "names of results contain both: rename one of them"
                )
        return Pairs(files.name, tuple(blur), tuple(blur.values()), tuple(sharp[frame] for frame in blur))

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return the samples for a network with `frames` input frames; frames that lack a neighbour are excluded."""
        self.require_consecutive(frames)
        needed = max(frames, self.common_frames or 1)
        samples, left_out = [], 0
        for clip in self.clips(split):
            wanted, adjacent = self.restored_frames(clip, split), self._adjacent(clip)
            for run in self._runs(split, clip) if needed > 1 else [range(len(clip.frames))]:
                for index in run:
                    if clip.frames[index] not in wanted:
                        continue
                    if around := _around(run, index, needed)[:frames]:
                        blur, sharp = (tuple(kind[i] for i in around) for kind in (clip.blur, clip.sharp))
                        frame = clip.frames[index]
                        sample = Sample(
                            *(self.name, clip.name, frame, blur, sharp),
                            flow=self.motion_file("flow", split, clip.name, frame),
                            length=self.motion_file("length", split, clip.name, frame),
                            neighbours=adjacent[index],
                        )
                        samples.append(sample)
                    else:
                        left_out += 1
        if not samples:
            raise DeblurzooError(f"no clip of the {split} split of {self.name} has {needed} consecutive frames")
        if left_out:
            log.info(
                "%d of %d %s frames are excluded: %d consecutive frames are required",
                *(left_out, left_out + len(samples), split, needed),
            )
        return samples

    def _adjacent(self, clip: Clip) -> list[tuple[Frame, ...]]:
        """Return the sharp images of the previous and the next frame of each frame."""
        if not self.consecutive:
            return [()] * len(clip.frames)
        return [
            tuple(clip.sharp[other] for other in (index - 1, index + 1) if other in run)
            for run in runs(len(clip.frames), gaps(clip.frames))
            for index in run
        ]

    def _runs(self, split: str, clip: Clip) -> list[range]:
        """Return the index ranges of a clip's consecutive frames; warn once about its gaps."""
        found = gaps(clip.frames)
        if found and (split, clip.name) not in self._told:
            self._told.add((split, clip.name))
            log.warning(
                "clip %s of %s lacks %s: frames across a gap are not used as neighbours",
                clip.name,
                self.name,
                described(found),
            )
        return runs(len(clip.frames), found)
