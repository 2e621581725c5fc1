"""The version, which every file that deblurzoo writes names."""

__version__ = "0.2.0.dev0"
