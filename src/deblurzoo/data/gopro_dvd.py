"""GOPRO and DVD as one data set, which the SVRNN paper trains on."""

from dataclasses import replace

from deblurzoo.data.clips import ClipFolders, ClipSource, Sample
from deblurzoo.errors import DeblurzooError


class GoproDvd(ClipSource):
    """The clips of both data sets, each sample drawn as often as any other; clip names start with their data set's.

    Args:
        gopro, dvd: the two data sets.
    """

    name = "gopro_dvd"

    def __init__(self, gopro: ClipSource, dvd: ClipSource) -> None:
        super().__init__()
        self.parts = (gopro, dvd)
        gopro.key, dvd.key = "data.gopro", "data.dvd"
        if dvd.measure != gopro.measure:
            raise DeblurzooError(
                f"data.dvd.protocol={dvd.protocol} is not measured as {gopro.name} is: choose flow or all"
            )
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

    def folders(self, split: str) -> list[ClipFolders]:
        """List the clips of both."""
        return [
            folders._replace(name=f"{part.name}_{folders.name}")
            for part in self.parts
            for folders in part.folders(split)
        ]

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return the samples of both, each by its own protocol."""
        return [
            replace(sample, clip=f"{part.name}_{sample.clip}")
            for part in self.parts
            for sample in part.samples(split, frames)
        ]
