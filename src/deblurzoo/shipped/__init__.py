"""Trained networks that are part of deblurzoo: one folder each, with an export, `scores.json` and a model card."""

from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT: str | None = "nafnet-small"
"""Name of the network that restores photos if no checkpoint is given, or None if none is good enough."""


def names() -> list[str]:
    """Return the names of the networks, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def export_of(path: Path) -> Path | None:
    """Return the folder of the network with this name; None if there is none, or if a file or folder has the name."""
    return FOLDER / path if str(path) in names() and not path.exists() else None


def shown(file: Path) -> Path:
    """Return the name of the network if a file belongs to one, otherwise the path of the file."""
    return Path(file.parent.name) if file.parent.parent == FOLDER else file
