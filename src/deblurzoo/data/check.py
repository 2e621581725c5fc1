"""`deblurzoo data check`: what is there of a data set, and what is missing or broken."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deblurzoo.data.clips import ClipFolders, ClipSource, pictures
from deblurzoo.data.images import read_image
from deblurzoo.data.kohler import Kohler
from deblurzoo.entry import build, hydra_main
from deblurzoo.errors import DeblurzooError

Size = tuple[int, int]


def _size(path: Path) -> Size | str:
    """Return (width, height) of a picture after reading all of it, or why that failed."""
    try:
        height, width, _ = read_image(path).shape
    except DeblurzooError as error:
        return str(error)
    return width, height


def _missing_numbers(stems: list[str]) -> Iterator[str]:
    """Yield the frame numbers left out in a numbered clip."""
    if all(stem.isdigit() for stem in stems):
        for before, after in pairwise(stems):
            yield from (str(number).zfill(len(before)) for number in range(int(before) + 1, int(after)))


def clip_problems(folders: ClipFolders, official: int | None, pool: ThreadPoolExecutor) -> tuple[int, list[str]]:
    """Return how many complete pairs a clip has, and one line for every problem in it."""
    blur, sharp = pictures(folders.blur), pictures(folders.sharp)
    problems = [f"unpaired: {blur[stem]} has no sharp partner" for stem in blur.keys() - sharp.keys()]
    problems += [f"unpaired: {sharp[stem]} has no blurry partner" for stem in sharp.keys() - blur.keys()]
    stems = sorted(blur.keys() | sharp.keys())
    problems += [f"missing: {folders.blur.parent}: frame {number}" for number in _missing_numbers(stems)]
    pairs = blur.keys() & sharp.keys()
    if official is not None and len(pairs) != official:
        problems.append(f"count: {folders.name} has {len(pairs)} pairs, officially {official}")
    paths = [*blur.values(), *sharp.values()]
    sizes = dict(zip(paths, pool.map(_size, paths), strict=True))
    problems += [f"unreadable: {reason}" for reason in sizes.values() if isinstance(reason, str)]
    known = [size for size in sizes.values() if not isinstance(size, str)]
    usual = max(set(known), key=known.count, default=None)
    for path, size in sizes.items():
        if usual and not isinstance(size, str) and size != usual:
            problems.append(f"size: {path} is {size[0]}x{size[1]}, the rest of the clip {usual[0]}x{usual[1]}")
    return len(pairs), sorted(problems)


def check(source: ClipSource) -> list[str]:
    """Read every picture of a data set, print a table of its clips and return all problems."""
    table = Table(title=f"{source.name}: {source.blur_folder}/ and sharp frames", title_justify="left")
    for heading in ("split", "clip", "pairs", "official", "problems"):
        table.add_column(heading, justify="left" if heading in ("split", "clip") else "right")
    problems: list[str] = []
    with ThreadPoolExecutor() as pool:
        for split in source.splits:
            official = source.official.get(split, {})
            folders = source.folders(split)
            found = 0
            for clip in track(folders, description=split, transient=True):
                pairs, lines = clip_problems(clip, official.get(clip.name), pool)
                found += pairs
                problems += lines
                table.add_row(split, clip.name, str(pairs), str(official.get(clip.name, "")), str(len(lines) or ""))
            absent = sorted(official.keys() - {clip.name for clip in folders})
            problems += [f"missing: {split} clip {name} ({official[name]} pairs)" for name in absent]
            if official:
                foreign = sorted({clip.name for clip in folders} - official.keys())
                problems += [f"foreign: {name} is no {split} clip of {source.name}" for name in foreign]
            if not found:
                problems.append(f"empty: the {split} split has no pairs")
            total = str(sum(official.values())) if official else ""
            table.add_row(split, f"all {len(folders)} clips", str(found), total, "", style="bold", end_section=True)
    Console().print(table)
    return problems


def run(cfg: DictConfig) -> None:
    """Check `cfg.data`; raise a DeblurzooError if anything is wrong."""
    if OmegaConf.is_missing(cfg.data, "blur"):
        cfg.data.blur = "blur"
        print("checking blur/; data.blur=blur_gamma checks the other blur folder")
    source: ClipSource | Kohler = build(cfg.data)
    if not source.splits:
        raise DeblurzooError("data=folder has nothing to check: set data.test.blur and data.test.sharp")
    problems = source.problems() if isinstance(source, Kohler) else check(source)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise DeblurzooError(f"{len(problems)} problems in {source.name}, listed above")
    print("no problems")


main = hydra_main("check")(run)

if __name__ == "__main__":
    main()
