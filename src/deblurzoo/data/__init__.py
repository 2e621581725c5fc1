"""Which pictures there are (clips, one class per data set) and how they are read (data module)."""

from deblurzoo.data.clips import ClipSource, Sample, Source
from deblurzoo.data.datamodule import DeblurDataModule
from deblurzoo.data.dvd import Dvd
from deblurzoo.data.folder import Folder
from deblurzoo.data.frames import Clip
from deblurzoo.data.gopro import Gopro, Synthesized, Toy
from deblurzoo.data.gopro_dvd import GoproDvd
from deblurzoo.data.kohler import Kohler
from deblurzoo.data.layout import ClipFiles, require_folder

__all__ = [
    "Clip",
    "ClipFiles",
    "ClipSource",
    "DeblurDataModule",
    "Dvd",
    "Folder",
    "Gopro",
    "GoproDvd",
    "Kohler",
    "Sample",
    "Source",
    "Synthesized",
    "Toy",
    "require_folder",
]
