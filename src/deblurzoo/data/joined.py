"""Concatenation of data sets. For example, the SVRNN paper trains on GOPRO and DVD together."""

from dataclasses import replace
from pathlib import Path

from deblurzoo.data.clips import ClipSource, Sample
from deblurzoo.data.frames import Clip
from deblurzoo.data.layout import ClipFiles
from deblurzoo.errors import DeblurzooError


class Joined(ClipSource):
    """Concatenation of several data sets. Each clip name is prefixed with the key of its data set.

    All samples are drawn equally often, regardless of their data set.

    Args:
        packed: a folder with one pack per data set, in subfolders named after the data sets.
        datasets: two or more data sets by key.
    """

    def __init__(self, packed: str | None = None, **datasets: ClipSource) -> None:
        super().__init__(packed=packed)
        if len(datasets) < 2:
            raise DeblurzooError(
                f"data joins {len(datasets)} data sets, but at least two are required: set data=gopro_dvd, for example"
            )
        self.datasets, self.parts = datasets, tuple(datasets.values())
        (first, leader), *others = datasets.items()
        for key, part in others:
            if part.measure != leader.measure:
                raise DeblurzooError(
                    f"data.{key}.protocol={part.protocol} computes metrics differently from data.{first}: choose "
                    "another protocol"
                )
        for key, part in datasets.items():
            part.key = f"data.{key}"
            if packed:
                part.packed = part.packed or str(Path(packed) / part.name)
        self.name = "_".join(part.name for part in self.parts)
        self.measure = leader.measure
        self.protocol = "+".join(part.protocol for part in self.parts)
        self.blur_folder = "+".join(part.blur_folder for part in self.parts)
        self.official = {
            split: {
                f"{key}_{clip}": frames
                for key, part in datasets.items()
                for clip, frames in part.official.get(split, {}).items()
            }
            for split in self.splits
        }

    def origin(self, split: str) -> dict[str, str]:
        """Return the folders or packs of all data sets by config key."""
        return {key: place for part in self.parts for key, place in part.origin(split).items()}

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the clip files of all data sets."""
        return [
            replace(files, name=f"{key}_{files.name}")
            for key, part in self.datasets.items()
            for files in part.clip_files(split)
        ]

    def clips(self, split: str) -> list[Clip]:
        """Return the clips of all data sets."""
        return [
            replace(clip, name=f"{key}_{clip.name}")
            for key, part in self.datasets.items()
            for clip in part.clips(split)
        ]

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return the samples of all data sets. Each data set uses its own protocol."""
        return [
            replace(sample, clip=f"{key}_{sample.clip}")
            for key, part in self.datasets.items()
            for sample in part.samples(split, frames)
        ]
