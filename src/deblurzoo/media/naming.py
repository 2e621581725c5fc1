"""File names: image files, system files, natural order, and gaps in frame numbers."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import NamedTuple

from deblurzoo.errors import DeblurzooError
from deblurzoo.files import files_below, is_folder_entry, is_special
from deblurzoo.media.kinds import SUFFIXES, is_photo

_LEFT_BEHIND = frozenset(
    {"__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "@tmp", "@recently-snapshot", "lost+found"}
    | {"system volume information"}
    | {"thumbs.db", "ehthumbs.db", "desktop.ini"}
)
"""System files and folders of macOS, Windows and network drives, in lower case."""

NaturalKey = tuple[list[str | int], str]


def is_left_behind(name: str) -> bool:
    """Whether this is the name of a system or hidden file or folder. Data sets ignore these files and folders."""
    return name.startswith((".", "~$")) or name.casefold() in _LEFT_BEHIND


def is_image_file(path: Path) -> bool:
    """Whether this is an image file by its suffix or, if it has another suffix, by its content."""
    return not is_left_behind(path.name) and (path.suffix.lower() in SUFFIXES or is_photo(path))


def natural(name: str) -> NaturalKey:
    """Return a sort key for natural order, in which 2 precedes 10. Different names have different keys."""
    return [int(part) if index % 2 else part for index, part in enumerate(_parts(name))], name


def _parts(name: str) -> list[str]:
    """Split a name into text, digits, text, digits, …, text."""
    return re.split(r"([0-9]+)", name)


def image_files(folder: Path) -> list[Path]:
    """Return the image files of a folder in natural order; empty if the folder does not exist."""
    return [path for path in files(folder) if is_image_file(path)]


def files(folder: Path) -> list[Path]:
    """Return the files of a folder in natural order, without system files and pipes; empty if there is no folder."""
    return _entries(folder, are_folders=False)


def folders(folder: Path) -> list[Path]:
    """Return the sub-folders of a folder in natural order, without system folders."""
    return _entries(folder, are_folders=True)


def _entries(folder: Path, are_folders: bool) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = [
            entry.name
            for entry in entries
            if is_folder_entry(entry) == are_folders and not is_left_behind(entry.name) and not is_special(entry)
        ]
    return [folder / name for name in sorted(found, key=natural)]


def below(folder: Path) -> list[Path]:
    """Return all files in a folder and its sub-folders in natural order, without system files.

    A folder that cannot be read is returned like a file, so that reading it reports the system's reason.
    """
    unreadable: list[OSError] = []
    found = list(files_below(folder, unreadable.append, is_left_behind))
    found += [Path(error.filename) for error in unreadable]
    return sorted(found, key=lambda path: [natural(part) for part in path.relative_to(folder).parts])


def stem(path: Path) -> str:
    """Return a file's name without its suffix."""
    return path.stem


def by_frame(files: Iterable[Path], frame: Callable[[Path], str] = stem) -> tuple[dict[str, Path], list[str]]:
    """Return the files by frame name in natural order, and a message for each duplicate frame name.

    Args:
        files: the files of one clip, either blurry or sharp, in any order.
        frame: function that returns a file's frame name.
    """
    found: dict[str, Path] = {}
    ambiguous = []
    for path in sorted(files, key=lambda path: natural(path.name)):
        if (first := found.setdefault(frame(path), path)) is not path:
            ambiguous.append(f"{first} and {path} are both frame {frame(path)}: remove one")
    return {name: found[name] for name in sorted(found, key=natural)}, ambiguous


def require_frames(files: Iterable[Path], frame: Callable[[Path], str] = stem) -> dict[str, Path]:
    """Return the files by frame name in natural order; raise a DeblurzooError for a duplicate frame name."""
    found, ambiguous = by_frame(files, frame)
    if ambiguous:
        raise DeblurzooError(ambiguous[0])
    return found


class Gap(NamedTuple):
    """A position in a clip at which frame numbers are missing or repeated."""

    at: int
    """Index of the first frame after the gap."""
    missing: str
    """The missing frames, such as "frames 0004 to 0005"."""


def gaps(frames: Sequence[str]) -> list[Gap]:
    """Return the gaps in the frame numbers of a clip.

    The frame number is the only group of digits that differs between the names. If no group or more than one group
    differs, all frames count as consecutive. The usual step between frame numbers may be larger than 1, for example
    with time stamps. A step is a gap if it is 0 or exceeds the usual step by more than half.

    Args:
        frames: the names of the frames in natural order.
    """
    parts = [_parts(frame) for frame in frames]
    groups = list(zip(*parts, strict=False))
    varying = [place for place, group in enumerate(groups) if len(set(group)) > 1]
    if len(varying) != 1 or not varying[0] % 2 or len({len(part) for part in parts}) > 1:
        return []
    (place,) = varying
    numbers = [int(digits) for digits in groups[place]]
    step = _usual_step([later - earlier for earlier, later in pairwise(numbers)])

    def missing(index: int) -> str:
        first, last = numbers[index - 1] + 1, numbers[index] - 1
        if first > last:
            return f"a distinct number for frame {frames[index]} (frame {frames[index - 1]} has the same number)"
        if step > 1:
            return f"frames between {frames[index - 1]} and {frames[index]} (the usual step is {step})"
        start, end = "".join(parts[0][:place]), "".join(parts[0][place + 1 :])
        names = [f"{start}{number:0{len(groups[place][index - 1])}}{end}" for number in (first, last)]
        return f"frame {names[0]}" if first == last else f"frames {names[0]} to {names[1]}"

    return [
        Gap(index, missing(index))
        for index, (earlier, later) in enumerate(pairwise(numbers), start=1)
        if not 0 < later - earlier <= 1.5 * step
    ]


def _usual_step(steps: Sequence[int]) -> int:
    """Return the median step if more than half of all steps are within 50 % of the median, otherwise 1."""
    usual = median_low(steps)
    close = sum(0.5 * usual <= step <= 1.5 * usual for step in steps)
    return usual if usual > 0 and len(steps) > 1 and 2 * close > len(steps) else 1


def runs(frames: int, found: Sequence[Gap]) -> list[range]:
    """Return the ranges of consecutive frames into which gaps split a clip of `frames` frames."""
    return [range(*ends) for ends in pairwise([0, *(gap.at for gap in found), frames])]


def described(found: Sequence[Gap]) -> str:
    """Return a text to follow "lacks": the missing frames of the first gap, and the number of further gaps."""
    more = len(found) - 1
    return found[0].missing + (f" (and {more} more gap{'s' if more > 1 else ''})" if more else "")
