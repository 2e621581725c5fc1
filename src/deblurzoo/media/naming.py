"""Names of files: which are pictures, the order they come in, and what the numbers of frames say."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import NamedTuple

from deblurzoo.errors import DeblurzooError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""Of pictures, in any case."""

_LEFT_BEHIND = frozenset(
    {"__macosx", "@eadir", "@recycle", "#recycle", "$recycle.bin", "@tmp", "@recently-snapshot", "lost+found"}
    | {"system volume information"}
    | {"thumbs.db", "ehthumbs.db", "desktop.ini"}
)
"""Files and folders of macOS, Windows and network drives, in lower case."""

NaturalKey = tuple[list[str | int], str]


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name is never a picture and holds none: systems leave such beside pictures."""
    return name.startswith((".", "~$")) or name.casefold() in _LEFT_BEHIND


def is_image_file(path: Path) -> bool:
    """Whether a file of this name is a picture."""
    return path.suffix.lower() in SUFFIXES and not is_left_behind(path.name)


def natural(name: str) -> NaturalKey:
    """Return the key of the one order of names, in which 2 comes before 10; different names are never equal in it."""
    return [int(part) if index % 2 else part for index, part in enumerate(_parts(name))], name


def _parts(name: str) -> list[str]:
    """Return text, digits, text, digits, … text: what a name consists of."""
    return re.split(r"([0-9]+)", name)


def image_files(folder: Path) -> list[Path]:
    """Return the pictures of a folder in natural order; none if there is no such folder."""
    return [path for path in _entries(folder, are_folders=False) if is_image_file(path)]


def folders(folder: Path) -> list[Path]:
    """Return the folders in a folder in natural order, without what systems leave behind."""
    return _entries(folder, are_folders=True)


def _entries(folder: Path, are_folders: bool) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = [entry.name for entry in entries if entry.is_dir() == are_folders and not is_left_behind(entry.name)]
    return [folder / name for name in sorted(found, key=natural)]


def below(folder: Path) -> list[Path]:
    """Return the files of a folder and of all below it in natural order, without what systems leave behind."""
    found: list[Path] = []
    for place, inside, files in os.walk(folder):
        inside[:] = [name for name in inside if not is_left_behind(name)]
        found += [Path(place, name) for name in files if not is_left_behind(name)]
    return sorted(found, key=lambda path: [natural(part) for part in path.relative_to(folder).parts])


def stem(path: Path) -> str:
    """Return a file's name without its suffix."""
    return path.stem


def by_frame(files: Iterable[Path], frame: Callable[[Path], str] = stem) -> tuple[dict[str, Path], list[str]]:
    """Return files by frame in natural order, and a sentence for every file whose frame another one is already.

    Args:
        files: of one clip and kind, in any order.
        frame: gives the name of a file's frame.
    """
    found: dict[str, Path] = {}
    ambiguous = []
    for path in sorted(files, key=lambda path: natural(path.name)):
        if (first := found.setdefault(frame(path), path)) is not path:
            ambiguous.append(f"{first} and {path} are both frame {frame(path)}: remove one")
    return {name: found[name] for name in sorted(found, key=natural)}, ambiguous


def require_frames(files: Iterable[Path], frame: Callable[[Path], str] = stem) -> dict[str, Path]:
    """Return files by frame in natural order; raise a DeblurzooError if two are the same one."""
    found, ambiguous = by_frame(files, frame)
    if ambiguous:
        raise DeblurzooError(ambiguous[0])
    return found


class Gap(NamedTuple):
    """A place in a clip where a frame does not follow the one before it."""

    at: int
    """Index of the frame."""
    missing: str
    """What should be between them, as in "frames 0004 to 0005"."""


def gaps(frames: Sequence[str]) -> list[Gap]:
    """Return where the names of a clip's frames, which are in natural order, leave numbers out.

    A frame's number is the one group of digits that differs among the names; frames without such follow each other.
    Numbers come one after another or in steps of another size, which may vary by half of it, as time stamps do.
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
            return f"a number of its own for frame {frames[index]}, which has that of {frames[index - 1]}"
        if step > 1:
            return f"frames between {frames[index - 1]} and {frames[index]}, the rest being {step} apart"
        start, end = "".join(parts[0][:place]), "".join(parts[0][place + 1 :])
        names = [f"{start}{number:0{len(groups[place][index - 1])}}{end}" for number in (first, last)]
        return f"frame {names[0]}" if first == last else f"frames {names[0]} to {names[1]}"

    return [
        Gap(index, missing(index))
        for index, (earlier, later) in enumerate(pairwise(numbers), start=1)
        if not 0 < later - earlier <= 1.5 * step
    ]


def _usual_step(steps: Sequence[int]) -> int:
    """Return the step that more than half of all are close to, or else 1."""
    usual = median_low(steps)
    close = sum(0.5 * usual <= step <= 1.5 * usual for step in steps)
    return usual if usual > 0 and len(steps) > 1 and 2 * close > len(steps) else 1


def runs(frames: int, found: Sequence[Gap]) -> list[range]:
    """Return the stretches of consecutive frames into which gaps cut a clip of so many frames."""
    return [range(*ends) for ends in pairwise([0, *(gap.at for gap in found), frames])]


def described(found: Sequence[Gap]) -> str:
    """Return what at least one gap leaves out, as an object of "lacks"."""
    more = len(found) - 1
    return found[0].missing + (f" (and {more} more gap{'s' if more > 1 else ''})" if more else "")
