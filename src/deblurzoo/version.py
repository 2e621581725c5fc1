"""The version of deblurzoo, which is recorded in every file that it writes."""

__version__ = "0.2.0"
