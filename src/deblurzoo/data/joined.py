"""GOPRO and DVD as one data set, which the SVRNN paper trains on."""

from dataclasses import replace
from pathlib import Path

from deblurzoo.data.clips import ClipSource, Sample
from deblurzoo.data.frames import Clip
from deblurzoo.data.layout import ClipFiles
from deblurzoo.errors import DeblurzooError


class GoproDvd(ClipSource):
    """The clips of both data sets, each sample drawn as often as any other; clip names start with their data set's.

    Args:
        gopro, dvd: the two data sets.
        packed: a folder with packs of both, `gopro` and `dvd`.
    """

    name = "gopro_dvd"

    def __init__(self, gopro: ClipSource, dvd: ClipSource, packed: str | None = None) -> None:
        super().__init__(packed=packed)
        self.parts = (gopro, dvd)
        if packed:
            for part in self.parts:
                part.packed = part.packed or str(Path(packed) / part.name)
        if dvd.measure != gopro.measure:
            raise DeblurzooError(
                f"data.dvd.protocol={dvd.protocol} is not measured as {gopro.name} is: choose flow or all"
            )
        gopro.key, dvd.key = "data.gopro", "data.dvd"
        self.protocol = "+".join(part.protocol for part in self.parts)
        self.blur_folder = "+".join(part.blur_folder for part in self.parts)
        self.official = {
            split: {
                f"{part.name}_{clip}": frames
                for part in self.parts
                for clip, frames in part.official.get(split, {}).items()
            }
            for split in self.splits
        }

    def origin(self, split: str) -> dict[str, str]:
        """Return where both are read from by config key."""
        return {key: place for part in self.parts for key, place in part.origin(split).items()}

    def clip_files(self, split: str) -> list[ClipFiles]:
        """List the clips of both."""
        return [
            replace(files, name=f"{part.name}_{files.name}") for part in self.parts for files in part.clip_files(split)
        ]

    def clips(self, split: str) -> list[Clip]:
        """Return the paired frames of both."""
        return [replace(clip, name=f"{part.name}_{clip.name}") for part in self.parts for clip in part.clips(split)]

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return the samples of both, each by its own protocol."""
        return [
            replace(sample, clip=f"{part.name}_{sample.clip}")
            for part in self.parts
            for sample in part.samples(split, frames)
        ]
