"""Several data sets as one."""

from dataclasses import replace

from deblurzoo.data.clips import ClipFolders, ClipSource, Sample


class Together(ClipSource):
    """The clips of several data sets, each sample drawn as often as any other; clip names start with the set's.

    Args:
        sources: the data sets by name.
    """

    def __init__(self, **sources: ClipSource) -> None:
        self.sources = sources
        self.name = "_".join(source.name for source in sources.values())
        self.protocol = "+".join(source.protocol for source in sources.values())
        self.blur_folder = "+".join(source.blur_folder for source in sources.values())
        self.official = {
            split: {f"{n}_{clip}": c for n, source in sources.items() for clip, c in source.official[split].items()}
            for split in self.splits
        }

    def folders(self, split: str) -> list[ClipFolders]:
        """List the clips of all data sets."""
        return [
            folders._replace(name=f"{name}_{folders.name}")
            for name, source in self.sources.items()
            for folders in source.folders(split)
        ]

    def samples(self, split: str, frames: int) -> list[Sample]:
        """Return the samples of all data sets, each by its own protocol."""
        return [
            replace(sample, clip=f"{name}_{sample.clip}")
            for name, source in self.sources.items()
            for sample in source.samples(split, frames)
        ]
