"""Synthesis of pairs of blurry and sharp images from videos, folders of frames and photos, in GOPRO's layout."""

import filecmp
import shutil
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from pydantic import ConfigDict, Field
from rich.progress import Progress

from deblurzoo.errors import DeblurzooError, few_of, on_interrupt, require_utf8, system_errors
from deblurzoo.files import LOCK, release, take_over, unfinished, write_atomically
from deblurzoo.media import Image
from deblurzoo.media.naming import folders, image_files
from deblurzoo.media.threads import in_threads
from deblurzoo.records import Record, load_record
from deblurzoo.synthesis.exposure import Camera, interpolated, pair_files, write_motion, write_pair
from deblurzoo.synthesis.plan import CONSECUTIVE, Cut, Pair, plan
from deblurzoo.synthesis.sources import SharpInput, inspect
from deblurzoo.synthesis.stills import Exposures, Shake, expose_photo, reduced
from deblurzoo.version import __version__

FILE = "synthesis.yaml"


class Synthesis(Record):
    """Content of `synthesis.yaml`: sources, options and results."""

    model_config = ConfigDict(extra="allow")

    refused: list[str] = Field(default_factory=list)
    nothing_to_restore: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Recipe:
    """All options that determine the pairs."""

    cut: Cut
    camera: Camera
    shake: Shake
    interpolate: bool = False
    shorter_side: int | None = None
    """Photos are reduced to this number of pixels of their shorter side, see `reduced`."""

    def sub_frames(self, window: list[Image]) -> list[Image]:
        """Return the sub-frames of an exposure of a video. Their number is odd; the middle one is the sharp image."""
        return interpolated(window) if self.interpolate else window

    def exposures(self, photo: Image, rng: np.random.Generator, pair: Pair) -> Exposures:
        """Return the exposures of the clip of a photo to which a pair belongs, in the order of the pairs."""
        offsets = (0,) if pair.clip_of_photo is None else tuple(CONSECUTIVE.values())
        return expose_photo(reduced(photo, self.shorter_side), rng, self.shake, offsets)


def inspect_all(paths: list[Path], photographs: bool) -> list[SharpInput]:
    """Return the sources at all paths; raise one DeblurzooError that lists the problems of all paths."""
    sources: list[SharpInput] = []
    problems = []
    for path in paths:
        try:
            with system_errors():
                found = inspect(path, photographs)
            for source in found:
                require_utf8(source.path)
                require_utf8(source.name)
                sources.append(source)
        except DeblurzooError as error:
            problems.append(str(error))
    if problems:
        raise DeblurzooError("\n".join(problems))
    paths_found = Counter(Path(source.path).resolve() for source in sources)
    if twice := [path for path, count in paths_found.items() if count > 1]:
        raise DeblurzooError(f"{twice[0]} is given twice: give it once, otherwise its frames could be in both splits")
    return sources


def synthesize(sources: list[SharpInput], out: Path, recipe: Recipe, workers: int | None = None) -> None:
    """Write `out/{train,test}/CLIP/{blur,blur_gamma,sharp}/NNNNNN.png` and `out/synthesis.yaml`.

    All files are written to `.OUT.unfinished` next to `out`; this folder is renamed when it is complete. An interrupted
    synthesis is resumed. A source is left out entirely if it is corrupt or its motion is too large for interpolation.

    Args:
        sources: sources returned by `inspect`.
        out: output folder; unchanged if it is already complete.
        recipe: options of the synthesis.
        workers: number of threads that average and encode windows; by default one per core, up to 8.

    Raises:
        DeblurzooError: a source cannot be used or was left out, `out` was made with different options, or `out` cannot
            be written.
    """
    write_folder(sources, out, recipe, workers)
    _tell(out)


def write_folder(
    sources: list[SharpInput], out: Path, recipe: Recipe, workers: int | None = None, wait: bool = False
) -> None:
    """Write the same files as `synthesize`, without printing the content; left-out sources raise no error.

    If another process is writing the folder, wait for it, or raise a DeblurzooError if `wait` is not set.
    """
    pairs = plan(sources, recipe.cut)
    facts = _facts(sources, recipe)
    out = out.resolve()
    collected = unfinished(out)
    if out.exists():
        _require_same(out, facts)
    else:
        take_over(collected, wait=wait)
        try:
            if not out.exists():  # written by the process that has locked the folder before
                _fill(collected, sources, pairs, facts, recipe, workers)
                collected.rename(out)  # before unlocking: afterwards, another process could start to fill the folder
                (out / LOCK).unlink(missing_ok=True)
        finally:
            release(collected)
        with suppress(OSError):  # renamed, or in use by another process
            collected.rmdir()


def _fill(
    folder: Path,
    sources: list[SharpInput],
    pairs: list[list[Pair]],
    facts: dict[str, Any],
    recipe: Recipe,
    workers: int | None,
) -> None:
    """Write all missing pairs; if no source can be used, remove the folder and raise a DeblurzooError."""
    if (folder / FILE).exists():
        _require_same(folder, facts)
    write_atomically(folder / FILE, _yaml(facts))
    wanted = [pair for of_source in pairs for pair in of_source]
    state = "{} of {} pairs are written; the same command resumes"
    with on_interrupt(lambda: state.format(sum(_is_done(folder, pair) for pair in wanted), len(wanted))):
        refused = _make(sources, pairs, folder, recipe, workers)
    found = {"refused": refused, "nothing_to_restore": _equal(folder, pairs)}
    write_atomically(folder / FILE, _yaml({**facts, **{key: names for key, names in found.items() if names}}))
    if len(refused) == len(sources):
        shutil.rmtree(folder)
        raise DeblurzooError("\n".join(refused))


def _facts(sources: list[SharpInput], recipe: Recipe) -> dict[str, Any]:
    """Return the version, options and sources to be stored in `synthesis.yaml`."""
    return {
        "deblurzoo": __version__,
        **{key: value for key, value in asdict(recipe.cut).items() if key != "frames"},
        "frames": list(recipe.cut.frames),
        "interpolate": recipe.interpolate,
        "shorter_side": recipe.shorter_side,
        **asdict(recipe.camera),
        "shake": asdict(recipe.shake),
        "sources": [{**asdict(source), "stamp": list(source.stamp)} for source in sources],
    }


def _yaml(facts: dict[str, Any]) -> bytes:
    text: str = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    return text.encode()


def _require_same(folder: Path, facts: dict[str, Any]) -> None:
    """Raise a DeblurzooError unless a folder, complete or not, was made from the same sources and options."""
    if not (folder / FILE).is_file():
        raise DeblurzooError(f"{folder} exists already: remove it or give another --out")
    there = load_record(folder / FILE, Synthesis, f"remove {folder} or give another --out").model_dump()
    for key, value in facts.items():
        if there.get(key) != value:
            what = "different sources" if key == "sources" else f"{key}: previously {there.get(key)}, now {value}"
            raise DeblurzooError(f"{folder} was made with different options ({what}): remove it or give another --out")


class _Job(NamedTuple):
    """A pair to be written."""

    number: int
    """Index of the source."""
    source: SharpInput
    pair: Pair
    window: list[Image] | DeblurzooError
    """Frames of the window, or the error that was raised when they were read."""


def _make(
    sources: list[SharpInput], pairs: list[list[Pair]], out: Path, recipe: Recipe, workers: int | None
) -> list[str]:
    """Write the missing pairs and return an error message for each source that was left out."""
    missing = [[pair for pair in wanted if not _is_done(out, pair)] for wanted in pairs]
    total = sum(map(len, pairs))
    refused: dict[int, str] = {}
    with Progress() as progress:
        bar = progress.add_task("pairs", total=total, completed=total - sum(map(len, missing)))
        jobs = _jobs(sources, missing, refused)
        for index, reason in in_threads(partial(_make_pair, out, recipe), jobs, workers):
            if reason:
                refused.setdefault(index, reason)
            progress.advance(bar)
    for index in refused:
        for clip in {pair.clip for pair in pairs[index]}:
            shutil.rmtree(out / clip, ignore_errors=True)
    return [refused[index] for index in sorted(refused)]


def _equal(out: Path, pairs: list[list[Pair]]) -> list[str]:
    """Return the pairs whose sharp PNG is byte-identical to one of the blurry PNGs."""
    names = []
    for pair in chain.from_iterable(pairs):
        *blurry, sharp = pair_files(out / pair.clip, pair.number)
        if sharp.is_file() and any(filecmp.cmp(file, sharp, shallow=False) for file in blurry):
            names.append(f"{pair.clip}/{sharp.stem}")
    return names


def _is_done(out: Path, pair: Pair) -> bool:
    return all(file.exists() for file in pair_files(out / pair.clip, pair.number))


def _jobs(sources: list[SharpInput], missing: list[list[Pair]], refused: Container[int]) -> Iterator[_Job]:
    """Yield the missing pairs with their frames, source by source; stop reading a source at its first error."""
    for index, (source, pairs) in enumerate(zip(sources, missing, strict=True)):
        windows = source.windows([pair.span for pair in pairs])
        for pair in pairs:
            if index in refused:
                break
            try:
                yield _Job(index, source, pair, next(windows))
            except DeblurzooError as error:
                yield _Job(index, source, pair, error)
                break


def _make_pair(out: Path, recipe: Recipe, job: _Job) -> tuple[int, str | None]:
    """Write a pair; return the index of its source and, if the source cannot be used, the error message."""
    if isinstance(job.window, DeblurzooError):
        return job.number, str(job.window)
    pair, span, drawn = job.pair, job.pair.span, None
    noise = rng = np.random.default_rng([recipe.cut.seed, job.number, pair.clip_of_photo or span.start])
    if pair.clip_of_photo is not None:
        noise = np.random.default_rng([recipe.cut.seed, job.number, pair.clip_of_photo, pair.number])
    try:
        if job.source.kind == "photograph":
            drawn = recipe.exposures(job.window[0], rng, pair)
            exposure = drawn.frames(pair.number - 1)
        else:
            exposure = recipe.sub_frames(job.window)
    except DeblurzooError as error:
        where = f", frames {span.start} to {span.stop - 1}" if len(span) > 1 else ""
        return job.number, f"{job.source.path}{where}: {error}"
    if drawn:
        _write_motion(out / pair.clip, pair, drawn)
    write_pair(out / pair.clip, pair.number, exposure, recipe.camera, noise)
    return job.number, None


def _write_motion(clip: Path, pair: Pair, drawn: Exposures) -> None:
    """Write the blur length of a pair of a photo and, for the middle of several, the true flow to the next pair."""
    write_motion(clip, "length", pair.number, drawn.tile_lengths(pair.number - 1))
    if pair.clip_of_photo is not None and CONSECUTIVE[pair.number] == 0:
        write_motion(clip, "flow", pair.number, drawn.flow(pair.number - 1, pair.number))


def read_synthesis(out: Path) -> Synthesis:
    """Return the content of `synthesis.yaml` of a complete folder."""
    return load_record(out / FILE, Synthesis, "remove the folder and synthesize it again")


def _tell(out: Path) -> None:
    """Print the content of a complete folder; raise a DeblurzooError if sources were left out."""
    counts = {
        split: sum(len(image_files(clip / "sharp")) for clip in folders(out / split)) for split in ("train", "test")
    }
    print(f"{out}: {counts['train']} pairs for training, {counts['test']} for testing")
    if not all(counts.values()):
        print(
            "a split is empty, but training and `deblurzoo data check` require both: copy the missing split from "
            "another synthesized folder"
        )
    made = read_synthesis(out)
    if equal := made.nothing_to_restore:
        print(f"{len(equal)} pairs have nothing to restore (identical images): {few_of(equal)}; {FILE} lists all")
    if made.refused:
        raise DeblurzooError("\n".join(["complete, but these sources were left out:", *made.refused]))
