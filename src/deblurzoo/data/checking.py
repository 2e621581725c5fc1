"""Check of a complete data set: every image is read, and missing or corrupt files are reported."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deblurzoo.data.clips import ClipSource, Source
from deblurzoo.data.kohler import Kohler
from deblurzoo.data.layout import ClipFiles
from deblurzoo.data.photos import Photos
from deblurzoo.data.scenes import Match, Scene, perceptual_hash, same_scenes, scenes, scenes_of
from deblurzoo.errors import DeblurzooError, escaped, is_utf8, unusable
from deblurzoo.media.images import read_image
from deblurzoo.media.naming import by_frame, gaps, natural

Size = tuple[int, int]


class Seen(NamedTuple):
    """Size, digest and perceptual hash of a decoded image."""

    size: Size
    pixels: bytes
    """Digest of the pixels."""
    perceptual: int | None
    """Perceptual hash; None if the image is uniform."""


class Examined(NamedTuple):
    """Result of checking a clip."""

    name: str
    pairs: int
    problems: list[str]
    equal: list[str]
    """Names of the frames whose blurry and sharp images are identical, so that nothing can be restored."""
    hashes: Mapping[str, int | None]
    """Perceptual hash of each sharp image by frame; None if the image is uniform."""


_AGAIN = "run `deblurzoo data pack` again"
_NAMED = 3
"""If a clip has more than four gaps, only this many are listed. The same limit applies to its identical pairs, and to
the test frames that show the scene of a training clip."""


def _seen(path: Path) -> Seen | str:
    """Return size, digest and hash of an image, or the error message if the image cannot be read."""
    try:
        image = read_image(path)
    except DeblurzooError as error:
        return str(error)
    digest = hashlib.blake2b(image.data, digest_size=16).digest()
    return Seen((image.shape[1], image.shape[0]), digest, perceptual_hash(image))


def _gap_lines(place: str | Path, frames: Sequence[str]) -> list[str]:
    """Return at most four lines about the gaps of a clip; `frames` are in natural order."""
    found = gaps(frames)
    named = found if len(found) <= _NAMED + 1 else found[:_NAMED]
    lines = [f"missing: {place}: {gap.missing}" for gap in named]
    if more := len(found) - len(named):
        lines.append(f"missing: {place}: {more} more gaps, the last before frame {frames[found[-1].at]}")
    return lines


def _miscount(clip: str, pairs: int, official: int | None) -> list[str]:
    return [] if official in (None, pairs) else [f"count: {clip} has {pairs} pairs instead of the official {official}"]


def examined_clip(files: ClipFiles, consecutive: bool, official: int | None, pool: ThreadPoolExecutor) -> Examined:
    """Read every image of a clip and return its problems, one per line. A long list of gaps is shortened."""
    (blur, twice), (sharp, twice_sharp) = (by_frame(paths, files.frame) for paths in (files.blur, files.sharp))
    paths = [*blur.values(), *sharp.values()]
    pairs = {frame: (blur[frame], sharp[frame]) for frame in blur if frame in sharp}
    problems = [f"ambiguous: {reason}" for reason in twice + twice_sharp]
    if files.unreadable:  # the images in these folders are not missing
        problems += [f"unreadable: {error}" for error in files.unreadable]
    else:
        problems += _incomplete(files.name, blur, sharp, consecutive) + _miscount(files.name, len(pairs), official)
    odd = [path for path in (Path(files.name), *paths) if not is_utf8(path.name)]
    problems += [f"name: the name of {path} is not valid UTF-8: rename it" for path in odd]
    read = dict(zip(paths, pool.map(_seen, paths), strict=True))
    problems += [f"unreadable: {reason}" for reason in read.values() if isinstance(reason, str)]
    seen = {path: one for path, one in read.items() if not isinstance(one, str)}
    sizes = {path: one.size for path, one in seen.items()}
    problems += _unusual_sizes(sizes) if consecutive else _unequal_sizes(sizes, list(pairs.values()))
    equal = [frame for frame, (one, other) in pairs.items() if one in seen and seen[one] == seen.get(other)]
    hashes = {frame: seen[path].perceptual for frame, path in sharp.items() if path in seen}
    return Examined(files.name, len(pairs), problems, equal, hashes)


def _incomplete(clip: str, blur: Mapping[str, Path], sharp: Mapping[str, Path], consecutive: bool) -> list[str]:
    """Return the lines about unpaired images and gaps of a clip, whose images are given by frame."""
    lines = [f"unpaired: {path} has no sharp counterpart" for frame, path in blur.items() if frame not in sharp]
    lines += [f"unpaired: {path} has no blurry counterpart" for frame, path in sharp.items() if frame not in blur]
    paths = [*blur.values(), *sharp.values()]
    if not paths:
        lines.append(f"empty: clip {clip} has no images: add them, or remove its folder")
    elif consecutive:
        lines += _gap_lines(paths[0].parent, sorted(blur.keys() | sharp.keys(), key=natural))
    return lines


def _unusual_sizes(sizes: Mapping[Path, Size]) -> list[str]:
    """Return a line for every image whose size differs from the most common size of the clip."""
    (width, height), _ = Counter(sizes.values()).most_common(1)[0] if sizes else ((0, 0), 0)
    return [
        f"size: {path} is {w}x{h}, but most images of the clip are {width}x{height}"
        for path, (w, h) in sizes.items()
        if (w, h) != (width, height)
    ]


def _unequal_sizes(sizes: Mapping[Path, Size], pairs: Sequence[tuple[Path, Path]]) -> list[str]:
    """Return a line for every pair whose blurry and sharp images differ in size."""
    return [
        "size: {} is {}x{}, but its counterpart {} is {}x{}".format(sharp, *sizes[sharp], blur, *sizes[blur])
        for blur, sharp in pairs
        if blur in sizes and sharp in sizes and sizes[blur] != sizes[sharp]
    ]


def _equal_lines(clip: str, frames: Sequence[str]) -> list[str]:
    """Return at most four lines about the identical pairs of a clip."""
    named = frames if len(frames) <= _NAMED + 1 else frames[:_NAMED]
    lines = [f"identical: {clip}/{frame}: the blurry and the sharp image are identical" for frame in named]
    if more := len(frames) - len(named):
        lines.append(f"identical: {clip}: {more} more pairs of identical images")
    return lines


def _scene_lines(match: Match) -> list[str]:
    """Return at most four lines about a training and a test clip with frames of the same scene."""
    pairs = match.frames if len(match.frames) <= _NAMED + 1 else match.frames[:_NAMED]
    lines = [f"same scene: {match.train}/{train} and {match.test}/{test}" for train, test in pairs]
    if more := len(match.frames) - len(pairs):
        lines.append(f"same scene: {match.train} and {match.test}: {more} more test frames")
    return lines


@contextmanager
def _listing(problems: list[str]) -> Iterator[None]:
    """Add a line to `problems` if a folder or list of the data set cannot be read."""
    try:
        yield
    except OSError as error:
        problems.append(f"unreadable: {unusable(error)}")


def _examined(source: ClipSource, split: str, pool: ThreadPoolExecutor, problems: list[str]) -> Iterator[Examined]:
    """Check the image files of a split, and yield the result of each clip; for `problems`, see `_listing`."""
    official, clips = source.official.get(split, {}), list[ClipFiles]()
    with _listing(problems):
        clips = source.clip_files(split)
    for files in track(clips, description=split, transient=True):
        yield examined_clip(files, source.consecutive, official.get(files.name), pool)


def _examined_pack(source: ClipSource, split: str, problems: list[str]) -> Iterator[Examined]:
    """Check the packed clips of a split, and yield the result of each clip; for `problems`, see `_listing`."""
    assert source.packed is not None
    official, entries = source.official.get(split, {}), list(source.index.of(split))
    stale: dict[str, str] = {}
    with _listing(problems):
        changed = source.changed_clips(split)
        stale = {name: f"stale: clip {name} {reason}: {_AGAIN}" for name, reason in changed.items()}
    for name in stale.keys() - {entry.name for entry in entries}:
        yield Examined(name, 0, [stale[name]], [], {})
    for entry in track(entries, description=split, transient=True):
        pairs = len(entry.frames)
        lines = [stale[entry.name]] if entry.name in stale else []
        equal: list[str] = []
        hashes: dict[str, int | None] = {}
        if damage := entry.damage(Path(source.packed), pixels=True):
            lines.append(f"corrupt: {damage}: {_AGAIN}, or copy the file again")
        else:
            clip = entry.clip(Path(source.packed))
            triples = list(zip(clip.frames, clip.blur, clip.sharp, strict=True))
            equal = [frame for frame, blur, sharp in triples if np.array_equal(blur.read(), sharp.read())]
            hashes = {frame: perceptual_hash(sharp.read()) for frame, _, sharp in triples}
        if source.index.consecutive:
            lines += _gap_lines(f"clip {entry.name}", sorted(entry.frames, key=natural))
        lines += _miscount(entry.name, pairs, official.get(entry.name))
        yield Examined(entry.name, pairs, lines, equal, hashes)


def check(*sources: Source) -> list[str]:
    """Read complete data sets or their packs, print a table of the clips of each, and return all problems.

    Pairs with identical blurry and sharp images are printed. They count as a problem only if a split has no other
    pairs. Scenes that are in a training and in a test split are printed, but are not a problem: published data sets may
    contain such scenes.
    """
    problems: list[str] = []
    by_split: dict[str, list[Scene]] = {"train": [], "test": []}
    with ThreadPoolExecutor() as pool:
        for source in sources:
            if isinstance(source, Kohler | Photos):
                with _listing(problems):
                    problems += source.problems()
                    for split in source.splits:
                        by_split[split] += scenes_of(source, split)
            elif isinstance(source, ClipSource):
                problems += _checked(source, pool, by_split)
    for match in same_scenes(by_split["train"], by_split["test"]):
        for line in _scene_lines(match):
            print(escaped(line))
    return problems


def _checked(source: ClipSource, pool: ThreadPoolExecutor, by_split: dict[str, list[Scene]]) -> list[str]:
    """Check a data set as `check` does, and add its scenes to the scenes `by_split`."""
    table = Table(title=f"{source.name}: {source.blur_folder}/ and sharp frames", title_justify="left")
    for heading in ("split", "clip", "pairs", *(["official"] if source.official else []), "problems"):
        table.add_column(heading, justify="left" if heading in ("split", "clip") else "right")
    problems: list[str] = []
    notes: list[str] = []
    for split in source.splits:
        official = source.official.get(split, {})
        found, names, equal, before = 0, set(), 0, len(problems)
        unlisted: list[str] = []
        examined = (
            _examined_pack(source, split, unlisted) if source.packed else _examined(source, split, pool, unlisted)
        )
        for name, pairs, lines, equal_frames, hashes in examined:
            found += pairs
            equal += len(equal_frames)
            names.add(name)
            by_split.setdefault(split, []).extend(scenes(f"{source.name} {split}/{name}", hashes, source.consecutive))
            problems += lines
            notes += _equal_lines(name, equal_frames)
            counts = (pairs, *([official.get(name, "")] if source.official else []), len(lines) or "")
            table.add_row(split, escaped(name), *map(str, counts))
        problems += unlisted or _unofficial(source, split, names)
        if not found and not any(line.startswith("unreadable: ") for line in problems[before:]):
            problems.append(f"empty: the {split} split has no pairs")
        elif found and equal == found:
            problems.append(
                f"identical: the blurry and the sharp image are identical in all pairs of the {split} split: check "
                "that blur and sharp are different folders"
            )
        counts = (found, *([sum(official.values())] if source.official else []), "")
        table.add_row(split, counted(len(names), "clip"), *map(str, counts), style="bold", end_section=True)
    Console(markup=False, emoji=False).print(table)
    for note in notes:
        print(escaped(note))
    return problems


def _unofficial(source: ClipSource, split: str, names: Set[str]) -> list[str]:
    """Return a line for every official clip that is missing, and for every clip that is not official."""
    official = source.official.get(split, {})
    absent = sorted(official.keys() - names, key=natural)
    foreign = sorted(names - official.keys(), key=natural) if official else []
    return [f"missing: {split} clip {name} ({official[name]} pairs)" for name in absent] + [
        f"unexpected: {name} is not an official {split} clip of {source.name}" for name in foreign
    ]


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, in the plural unless the number is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
