"""The content of packs, for tests."""

from pathlib import Path

CLIP = Path("train") / "TOY_train_000"


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
