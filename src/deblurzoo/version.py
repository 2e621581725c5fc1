"""The version, which every file that deblurzoo writes names."""

__version__ = "0.1.0"
