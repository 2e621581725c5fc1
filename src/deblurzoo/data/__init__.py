"""Data set classes. Each class lists the clips and samples of a data set; `data.datamodule` loads the samples."""

from deblurzoo.data.bsd import Bsd
from deblurzoo.data.clips import ClipSource, Sample, Source
from deblurzoo.data.dvd import Dvd
from deblurzoo.data.folder import Folder
from deblurzoo.data.frames import Clip
from deblurzoo.data.gopro import Gopro, Synthesized, Toy
from deblurzoo.data.hide import Hide
from deblurzoo.data.joined import Joined
from deblurzoo.data.kohler import Kohler
from deblurzoo.data.layout import ClipFiles, files_of, require_folder
from deblurzoo.data.photos import Photos
from deblurzoo.data.realblur import RealBlur
from deblurzoo.data.reds import Reds

__all__ = [
    "Bsd",
    "Clip",
    "ClipFiles",
    "ClipSource",
    "Dvd",
    "Folder",
    "Gopro",
    "Hide",
    "Joined",
    "Kohler",
    "Photos",
    "RealBlur",
    "Reds",
    "Sample",
    "Source",
    "Synthesized",
    "Toy",
    "files_of",
    "require_folder",
]
