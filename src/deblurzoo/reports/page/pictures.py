"""Images of a page, as files next to the page or as data URIs in the page."""

import base64
import hashlib
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import write_atomically
from deblurzoo.media import Image
from deblurzoo.pictures.strips import read_strip
from deblurzoo.reports.page.types import Network
from deblurzoo.reports.results import Measured


class PictureStore:
    """The PNGs of a page, identified by the hash of their content; identical images are stored once.

    Files of an earlier page are kept until the new page is written, so that images are never missing.

    Args:
        folder: folder of the files.
        inline: whether to embed the images in the page instead of writing files.
    """

    def __init__(self, folder: Path, inline: bool) -> None:
        self.folder, self.inline = folder, inline
        self.urls: dict[str, str] = {}
        self._data: dict[str, bytes] = {}

    def add(self, png: bytes) -> str:
        """Add a PNG and return the key of its URL in `urls`."""
        key = hashlib.sha256(png).hexdigest()[:16]
        if key not in self.urls:
            if self.inline:
                self.urls[key] = f"data:image/png;base64,{base64.b64encode(png).decode()}"
            else:
                self._data[key] = png
                self.urls[key] = f"{quote(os.fsencode(self.folder.name))}/{key}.png"
        return key

    def write(self) -> None:
        """Write the files that do not exist yet or have different content."""
        for key, png in self._data.items():
            path = self.folder / f"{key}.png"
            if not path.is_file() or path.read_bytes() != png:
                write_atomically(path, png)

    def remove_stale(self) -> None:
        """Remove images of an earlier page, and the folder if it is then empty. All other files are kept."""
        if not self.folder.is_dir():
            return
        for path in self.folder.glob("*.png"):
            ours = len(path.stem) == 16 and set(path.stem) <= set("0123456789abcdef")
            if ours and path.stem not in self._data:
                path.unlink()
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def viewer_frames(group: list[Network], store: PictureStore) -> list[dict[str, Any]]:
    """Return the frames that have a blurry | restored | sharp strip.

    Returns:
        For each frame, its `id` (CLIP/FRAME), its `width` and `height`, and the keys of its images in `store`:
        `blurry`, `sharp`, and `restored`, a list with one key per network. The key of a missing image is None.
    """
    frames = []
    for image in group[0].results.images:
        if strip := _first_file(group, image.strip):
            frames.append(_frame(image, strip, group, store))
    return frames


def _first_file(group: list[Network], name: str) -> Path | None:
    files = (network.evaluation.folder / name for network in group)
    return next((file for file in files if file.is_file()), None)


def _frame(image: Measured, strip: Path, group: list[Network], store: PictureStore) -> dict[str, Any]:
    blurry, _, sharp = read_strip(strip)
    height, width = sharp.shape[:2]
    restored = (network.evaluation.folder / image.image for network in group)
    return {
        "id": image.id,
        "width": width,
        "height": height,
        "blurry": store.add(_png(blurry)),
        "sharp": store.add(_png(sharp)),
        "restored": [store.add(_read(path)) if path.is_file() else None for path in restored],
    }


def _png(image: Image) -> bytes:
    _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return data.tobytes()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DeblurzooError(
            f"{path} cannot be read ({error.strerror or error}): run `deblurzoo evaluate` again"
        ) from error
