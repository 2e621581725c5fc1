"""`deblurzoo compare`."""

from deblurzoo.reports.table import main

__all__ = ["main"]
