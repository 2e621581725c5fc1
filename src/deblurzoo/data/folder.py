"""A user's images: two folders with matching file names."""

from pathlib import Path

from deblurzoo.data.clips import ClipSource
from deblurzoo.data.layout import ClipFiles, files_of, require_folder
from deblurzoo.data.packs import open_pack
from deblurzoo.errors import DeblurzooError


class Folder(ClipSource):
    """A folder of blurry and a folder of sharp images with matching names. Each split is one clip, sorted by name.

    Args:
        train: `{blur: DIR, sharp: DIR}`, or null values if the data set is not used for training.
        test: the same for the test split.
        consecutive: whether the images are the frames of a video. If false, the images are independent, and different
            pairs may have different sizes.
        common_frames, packed: see `ClipSource`.
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
        if packed:
            self.use_pack(packed)

    @property
    def independent(self) -> bool:  # type: ignore[override]
        """Whether the images are not frames of a video."""
        return not self.consecutive

    def use_pack(self, folder: str) -> None:
        """Read the images from a pack in a folder. Without image folders, the splits are those of the pack."""
        super().use_pack(folder)
        if not self.splits:
            index = open_pack(f"{self.key}.packed", Path(folder))
            self.splits = tuple(dict.fromkeys(clip.split for clip in index.clips))
            self.blur_folder = index.blur_folder
            self.consecutive = self.consecutive and index.consecutive

    def origin(self, split: str) -> dict[str, str]:
        """Return the two folders of a split, or the pack, by config key."""
        folders = {f"{self.key}.{split}.{role}": place for role, place in self.folders[split].items() if place}
        return super().origin(split) or folders

    def clip_files(self, split: str) -> list[ClipFiles]:
        """Return the files of the single clip of a split."""
        where = {}
        for role in ("blur", "sharp"):
            if not (value := self.folders[split][role]):
                raise DeblurzooError(f"{self.key}.{split}.{role} is not set: set it to a folder of {role} images")
            where[role] = require_folder(f"{self.key}.{split}.{role}", Path(value), "", "images")
        return [files_of(where["blur"].resolve().parent.name, where["blur"], where["sharp"])]
