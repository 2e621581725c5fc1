"""Where the pictures of a clip lie."""

from pathlib import Path
from typing import NamedTuple

from deblurzoo.data.images import SUFFIXES
from deblurzoo.errors import DeblurzooError


class ClipFolders(NamedTuple):
    """Where one clip lies."""

    name: str
    blur: Path
    sharp: Path


def pictures(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder by stem, sorted."""
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def require_folder(key: str, root: Path | None, inside: str, layout: str) -> Path:
    """Return `root/inside` if it is a folder; else say which config key named it and what should be there."""
    if root is None:
        packed = key.replace("root", "packed")
        raise DeblurzooError(f"{key} is not set: give {key}=FOLDER with {layout}, or a pack of it as {packed}=FOLDER")
    folder = root / inside
    if not folder.is_dir():
        problem = "is not a folder" if not root.is_dir() else f"has no folder {inside}"
        raise DeblurzooError(f"{key}={root} {problem}: set {key} to a folder with {layout}")
    return folder
