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

from deblurzoo.data.clips import ClipSource
from deblurzoo.data.images import read_image
from deblurzoo.data.kohler import Kohler
from deblurzoo.data.layout import ClipFolders, pictures
from deblurzoo.entry import build, hydra_main
from deblurzoo.errors import DeblurzooError, escaped, is_utf8

Size = tuple[int, int]
_AGAIN = "run `deblurzoo data pack` again"


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


def _miscount(clip: str, pairs: int, official: int | None) -> list[str]:
    return [] if official in (None, pairs) else [f"count: {clip} has {pairs} pairs, officially {official}"]


def clip_problems(folders: ClipFolders, official: int | None, pool: ThreadPoolExecutor) -> tuple[int, list[str]]:
    """Return how many complete pairs a clip has, and one line for every problem in it."""
    blur, sharp = pictures(folders.blur), pictures(folders.sharp)
    problems = [f"unpaired: {blur[stem]} has no sharp partner" for stem in blur.keys() - sharp.keys()]
    problems += [f"unpaired: {sharp[stem]} has no blurry partner" for stem in sharp.keys() - blur.keys()]
    stems = sorted(blur.keys() | sharp.keys())
    problems += [f"missing: {folders.blur.parent}: frame {number}" for number in _missing_numbers(stems)]
    pairs = blur.keys() & sharp.keys()
    problems += _miscount(folders.name, len(pairs), official)
    paths = [*blur.values(), *sharp.values()]
    odd = [path for path in (folders.blur.parent, *paths) if not is_utf8(path.name)]
    problems += [f"name: {path} is not UTF-8: rename it" for path in odd]
    sizes = dict(zip(paths, pool.map(_size, paths), strict=True))
    problems += [f"unreadable: {reason}" for reason in sizes.values() if isinstance(reason, str)]
    known = [size for size in sizes.values() if not isinstance(size, str)]
    usual = max(set(known), key=known.count, default=None)
    for path, size in sizes.items():
        if usual and not isinstance(size, str) and size != usual:
            problems.append(f"size: {path} is {size[0]}x{size[1]}, the rest of the clip {usual[0]}x{usual[1]}")
    return len(pairs), sorted(problems)


def _examined(source: ClipSource, split: str, pool: ThreadPoolExecutor) -> Iterator[tuple[str, int, list[str]]]:
    """Read every picture of a split; give each clip's name, pairs and problems."""
    official = source.official.get(split, {})
    for folders in track(source.folders(split), description=split, transient=True):
        pairs, problems = clip_problems(folders, official.get(folders.name), pool)
        yield folders.name, pairs, problems


def _examined_pack(source: ClipSource, split: str) -> Iterator[tuple[str, int, list[str]]]:
    """Read every array of a split of a pack; give each clip's name, pairs and problems."""
    assert source.packed is not None
    official, entries = source.official.get(split, {}), list(source.index.of(split))
    stale = {name: f"stale: clip {name} {reason}: {_AGAIN}" for name, reason in source.changed_clips(split).items()}
    for name in stale.keys() - {entry.name for entry in entries}:
        yield name, 0, [stale[name]]
    for entry in track(entries, description=split, transient=True):
        pairs = len(entry.stems)
        problems = [stale[entry.name]] if entry.name in stale else []
        if damage := entry.damage(Path(source.packed), pixels=True):
            problems.append(f"damaged: {damage}: {_AGAIN}, or copy the file again")
        problems += _miscount(entry.name, pairs, official.get(entry.name))
        yield entry.name, pairs, problems


def check(source: ClipSource) -> list[str]:
    """Read all of a data set or of its pack, print a table of its clips and return all problems."""
    table = Table(title=f"{source.name}: {source.blur_folder}/ and sharp frames", title_justify="left")
    for heading in ("split", "clip", "pairs", "official", "problems"):
        table.add_column(heading, justify="left" if heading in ("split", "clip") else "right")
    problems: list[str] = []
    with ThreadPoolExecutor() as pool:
        for split in source.splits:
            official = source.official.get(split, {})
            found, names = 0, set()
            examined = _examined_pack(source, split) if source.packed else _examined(source, split, pool)
            for name, pairs, lines in examined:
                found += pairs
                names.add(name)
                problems += lines
                table.add_row(split, escaped(name), str(pairs), str(official.get(name, "")), str(len(lines) or ""))
            absent = sorted(official.keys() - names)
            problems += [f"missing: {split} clip {name} ({official[name]} pairs)" for name in absent]
            if official:
                foreign = sorted(names - official.keys())
                problems += [f"foreign: {name} is no {split} clip of {source.name}" for name in foreign]
            if not found:
                problems.append(f"empty: the {split} split has no pairs")
            total = str(sum(official.values())) if official else ""
            table.add_row(split, f"all {len(names)} clips", str(found), total, "", style="bold", end_section=True)
    Console().print(table)
    return problems


def assume_blur(data: DictConfig) -> None:
    """Choose GOPRO's blur folder where the command line does not, and say so."""
    for gopro in (data, data.get("gopro")):
        if gopro is not None and OmegaConf.is_missing(gopro, "blur"):
            gopro.blur = "blur"
            print("taking the frames of blur/; data.blur=blur_gamma takes the other folder's")


def run(cfg: DictConfig) -> None:
    """Check `cfg.data`; raise a DeblurzooError if anything is wrong."""
    assume_blur(cfg.data)
    source: ClipSource | Kohler = build(cfg.data)
    if not source.splits:
        raise DeblurzooError("data=folder has nothing to check: set data.test.blur and data.test.sharp")
    if isinstance(source, Kohler):
        problems = source.problems()
    else:
        problems = [problem for part in source.parts for problem in check(part)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise DeblurzooError(f"{len(problems)} problems in {source.name}, listed above")
    print("no problems")


main = hydra_main("check")(run)

if __name__ == "__main__":
    main()
