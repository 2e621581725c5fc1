"""Images that another program restored, matched with the frames of a data set by name."""

import csv
import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

from deblurzoo.data.clips import Sample
from deblurzoo.errors import DeblurzooError, few_of, first_line, require_utf8
from deblurzoo.files import sha256
from deblurzoo.media.images import ImageFile, pixel_format
from deblurzoo.media.naming import below, is_image_file

_ADDITION = re.compile(r"(?=[-_.][A-Za-z][^/]*$)")
"""Position of a possible addition to a file's name, such as `_restored`. It starts with a letter, because digits belong
to the frame."""
Key = tuple[str, str]
"""Names of a clip and a frame."""


@dataclass(frozen=True)
class Match:
    """The image file of a frame, and the form of its name, such as `CLIP/FRAME_restored`."""

    clip: str
    frame: str
    file: ImageFile
    form: str


@dataclass(frozen=True)
class RestoredImages:
    """The image files of all frames, in their order, and the remaining image files of the folder."""

    folder: Path
    matches: list[Match]
    additional: list[Path]

    @property
    def files(self) -> dict[Key, ImageFile]:
        """The image file of each frame."""
        return {(match.clip, match.frame): match.file for match in self.matches}

    def sha256(self) -> str:
        """Return a SHA-256 of the content of all files and of their frames' names; other names are not hashed."""
        with ThreadPoolExecutor() as pool:
            hashes = pool.map(lambda match: sha256(match.file.path), self.matches)
            content = [(match.clip, match.frame, one) for match, one in zip(self.matches, hashes, strict=True)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def summary(self) -> list[tuple[str, str, str]]:
        """Return the rows of a table: each form of names, the number of images of this form, and an example."""
        forms = Counter(match.form for match in self.matches)
        first = {match.form: match for match in reversed(self.matches)}
        return [
            (form, str(count), f"{self._place(first[form])} is {_id(first[form])}") for form, count in forms.items()
        ]

    def as_csv(self) -> bytes:
        """Return CSV with a line for each image: its frame, its path in the folder and the form of its name."""
        text = io.StringIO()
        lines = ((match.clip, match.frame, self._place(match), match.form) for match in self.matches)
        csv.writer(text, lineterminator="\n").writerows([("clip", "frame", "file", "matched_by"), *lines])
        return text.getvalue().encode()

    def _place(self, match: Match) -> str:
        return match.file.path.relative_to(self.folder).as_posix()


def _id(frame: Match | Sample) -> str:
    return f"{frame.clip}/{frame.frame}"


def find_restored(folder: Path, samples: Sequence[Sample]) -> RestoredImages:
    """Return the image of each sample in a folder and its sub-folders.

    Accepted names, with any suffix of an image file: `CLIP/FRAME`, also with folders in between; `CLIP-FRAME` and
    `CLIP_FRAME`; `FRAME`, if no other clip has a frame of this name. FRAME is the name of the frame or of its blurry
    image. All names may have the same addition, such as `_restored`.

    Raises:
        DeblurzooError: a frame has no image or several images, or an image is not 8-bit RGB of the frame's size.
    """
    if not folder.is_dir():
        raise DeblurzooError(f"restored={folder} is not a folder: give the folder of the restored images")
    paths = [path for path in below(folder) if is_image_file(path)]
    for path in paths:
        require_utf8(path)
    stems = {path: path.relative_to(folder).with_suffix("").as_posix() for path in paths}
    found, addition = _candidates(stems, samples)
    if missing := [sample for sample in samples if not found[sample.clip, sample.frame]]:
        names = [*map(_id, missing)]
        example = f"{names[0]}{addition}.png"
        raise DeblurzooError(
            f"restored={folder} lacks {len(names)} of {len(samples)} images: {few_of(names)}. Add them with names such "
            f"as {example} or {example.replace('/', '-')}; nothing was measured"
        )
    for sample in samples:
        if len(several := list(found[sample.clip, sample.frame])) > 1:
            files = few_of([str(path.relative_to(folder)) for path in several])
            raise DeblurzooError(f"restored={folder} has several images of {_id(sample)}: {files}. Keep one of them")
    matches = []
    for sample in samples:
        ((path, form),) = found[sample.clip, sample.frame].items()
        matches.append(Match(sample.clip, sample.frame, ImageFile(path), form))
    _require_pixels(matches, samples)
    used = {match.file.path for match in matches}
    return RestoredImages(folder, matches, [path for path in paths if path not in used])


def _candidates(stems: dict[Path, str], samples: Sequence[Sample]) -> tuple[dict[Key, dict[Path, str]], str]:
    """Return the files of each frame with the forms of their names, and the addition that all these names have.

    Raises:
        DeblurzooError: names without an addition match no frame, and names with different additions do.
    """
    by_addition: dict[str, dict[Path, str]] = defaultdict(dict)
    for path, name in stems.items():
        for place in [len(name), *(cut.start() for cut in _ADDITION.finditer(name))]:
            by_addition[name[place:]][path] = name[:place]
    matched = {}
    for addition, names in by_addition.items():
        found = _by_name(names, samples, addition)
        if any(found.values()):
            if not addition:
                return found, ""
            matched[addition] = found
    if len(matched) > 1:
        additions = few_of(sorted(matched))
        raise DeblurzooError(f"the names of restored images end in {additions}: keep the images of one ending")
    return next(((found, addition) for addition, found in matched.items()), (_by_name({}, samples, ""), ""))


def _by_name(names: dict[Path, str], samples: Sequence[Sample], addition: str) -> dict[Key, dict[Path, str]]:
    """Return the files of each frame with the forms of their names, for names without their addition."""
    frames = {(sample.clip, sample.frame): _frame_names(sample) for sample in samples}
    clips = Counter(name for own in frames.values() for name in own)
    found: dict[Key, dict[Path, str]] = {}
    last, nested = defaultdict(list), defaultdict(list)
    for path, name in names.items():
        parent, _, stem = name.rpartition("/")
        last[stem].append(path)
        nested[stem].append((path, f"/{parent}/"))
    for (clip, frame), own in frames.items():
        files = found[clip, frame] = {}
        for name in own:
            if clips[name] == 1:
                files |= dict.fromkeys(last[name], f"FRAME{addition}")
            for sign in "-_":
                joined = f"{clip.replace('/', sign)}{sign}{name}"
                files |= dict.fromkeys(last[joined], f"CLIP{sign}FRAME{addition}")
            inside = [path for path, parent in nested[name] if f"/{clip}/" in parent]
            files |= dict.fromkeys(inside, f"CLIP/FRAME{addition}")
    return found


def _frame_names(sample: Sample) -> list[str]:
    """Return the name of a frame and, if it differs, the name of its blurry image."""
    return list(dict.fromkeys([sample.frame, PurePath(sample.blur[0].stored()[0]).stem]))


def _require_pixels(matches: Sequence[Match], samples: Sequence[Sample]) -> None:
    """Raise a DeblurzooError that names all images that are corrupt, not 8-bit RGB, or not of their frame's size."""
    with ThreadPoolExecutor() as pool:
        problems = [problem for problem in pool.map(_problem, matches, samples) if problem]
    if problems:
        raise DeblurzooError(
            f"{len(problems)} of {len(matches)} restored images cannot be measured: {few_of(problems)}. Save 8-bit RGB "
            "images of the size of the frames; nothing was measured"
        )


def _problem(match: Match, sample: Sample) -> str | None:
    path = match.file.path
    try:
        kind = pixel_format(path)
        height, width = match.file.read().shape[:2]  # decoded, because the header of a corrupt image can be intact
    except (OSError, ValueError, DeblurzooError) as error:
        cause = error.__cause__ if isinstance(error, DeblurzooError) else error
        reason = cause.strerror if isinstance(cause, OSError) else first_line(cause)
        return f"{path} cannot be read ({reason})"
    if kind != "8-bit RGB":
        return f"{path} is {kind}"
    right, bottom = sample.sharp.size()
    if (width, height) != (right, bottom):
        return f"{path} has {width}x{height} pixels, but frame {_id(match)} has {right}x{bottom}"
    return None
