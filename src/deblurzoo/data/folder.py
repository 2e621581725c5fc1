"""Anybody's pictures: two folders of equal names."""

from pathlib import Path

from deblurzoo.data.clips import ClipSource
from deblurzoo.data.layout import ClipFiles, require_folder
from deblurzoo.data.packs import open_pack
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.naming import image_files


class Folder(ClipSource):
    """Blurry and sharp pictures of equal names in two folders, which are one clip in the order of its names.

    Args:
        train: `{blur: DIR, sharp: DIR}`, or nulls where nothing is trained.
        test: the same for the held-out pictures.
        consecutive: whether the pictures are the frames of a video; else they are photographs, of any size.
        common_frames, packed: as in `ClipSource`.
    """

    name = "folder"
    protocol = "folder"

    def __init__(
        self,
        train: dict[str, str | None],
        test: dict[str, str | None],
        common_frames: int | None = None,
        packed: str | None = None,
        consecutive: bool = True,
    ) -> None:
        super().__init__(common_frames, packed)
        self.consecutive = consecutive
        self.folders = {"train": train, "test": test}
        self.splits = tuple(split for split, pair in self.folders.items() if any(pair.values()))
        self.blur_folder = "+".join(Path(pair["blur"]).name for pair in self.folders.values() if pair["blur"])
        if packed and not self.splits:
            index = open_pack("data.packed", Path(packed))
            self.splits = tuple(dict.fromkeys(clip.split for clip in index.clips))
            self.blur_folder = index.blur_folder
            self.consecutive = consecutive and index.consecutive

    def origin(self, split: str) -> dict[str, str]:
        """Return both folders of a split by config key, or the pack."""
        folders = {f"{self.key}.{split}.{role}": place for role, place in self.folders[split].items() if place}
        return super().origin(split) or folders

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the one clip of a split."""
        where = {}
        for role in ("blur", "sharp"):
            if not (value := self.folders[split][role]):
                raise DeblurzooError(f"data.{split}.{role} is not set: give a folder of {role} pictures")
            where[role] = require_folder(f"data.{split}.{role}", Path(value), "", "pictures")
        return [ClipFiles(where["blur"].resolve().parent.name, image_files(where["blur"]), image_files(where["sharp"]))]
