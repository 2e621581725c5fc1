"""Several data sets as one, as the SVRNN paper trains on GOPRO and DVD."""

from dataclasses import replace
from pathlib import Path

from deblurzoo.data.clips import ClipSource, Sample
from deblurzoo.data.frames import Clip
from deblurzoo.data.layout import ClipFiles
from deblurzoo.errors import DeblurzooError


class Joined(ClipSource):
    """The clips of several data sets, each sample drawn as often as any other; clip names start with their key.

    Args:
        packed: a folder with a pack of each in a folder of its name.
        datasets: the data sets by key, at least two.
    """

    def __init__(self, packed: str | None = None, **datasets: ClipSource) -> None:
        super().__init__(packed=packed)
        if len(datasets) < 2:
            raise DeblurzooError(f"data joins {len(datasets)} data sets: give two or more, such as data=gopro_dvd")
        self.datasets, self.parts = datasets, tuple(datasets.values())
        (first, leader), *others = datasets.items()
        for key, part in others:
            if part.measure != leader.measure:
                raise DeblurzooError(f"data.{key}.protocol={part.protocol} is not measured as {first} is: set another")
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
        """Return where each is read from by config key."""
        return {key: place for part in self.parts for key, place in part.origin(split).items()}

    def clip_files(self, split: str) -> list[ClipFiles]:
        """List the clips of all."""
        return [
            replace(files, name=f"{key}_{files.name}")
            for key, part in self.datasets.items()
            for files in part.clip_files(split)
        ]

    def clips(self, split: str) -> list[Clip]:
        """Return the paired frames of all."""
        return [
            replace(clip, name=f"{key}_{clip.name}")
            for key, part in self.datasets.items()
            for clip in part.clips(split)
        ]

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return the samples of all, each by its own protocol."""
        return [
            replace(sample, clip=f"{key}_{sample.clip}")
            for key, part in self.datasets.items()
            for sample in part.samples(split, frames)
        ]
