"""`deblurzoo deblur`: a trained network on somebody's own pictures and videos."""

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from deblurzoo.errors import DeblurzooError
from deblurzoo.extensions import add_trust, trust
from deblurzoo.files import user_path
from deblurzoo.media.naming import SUFFIXES, below, described, gaps, is_picture, require_frames, runs
from deblurzoo.media.photos import Picture, Pixels, read_picture, write_picture
from deblurzoo.restore import video
from deblurzoo.restore.memory import parse_bytes
from deblurzoo.restore.restorer import Device, Precision, Restorer
from deblurzoo.training.checkpoints import load_any


@dataclass(frozen=True)
class Job:
    """One file to restore."""

    source: Path
    target: Path
    neighbours: tuple[Path | None, Path | None] = (None, None)
    """The next and the previous frame, where files of a folder are frames."""

    @property
    def compare(self) -> Path:
        """Where blurry | restored goes."""
        return self.target.with_name(f"{self.target.stem}.compare{self.target.suffix}")


def main(arguments: list[str]) -> None:
    """Run `deblurzoo deblur`."""
    parser = argparse.ArgumentParser(
        "deblurzoo deblur",
        description="Restore pictures (PNG, JPEG, TIFF, WebP), videos, and folders of them.",
        epilog="Results keep names, depth, gray, alpha, colour profile, EXIF, sound and time stamps; pictures are "
        "written upright. Results that are there already are skipped. One bad file stops no other; the exit code is "
        "then 1.",
    )
    parser.add_argument("inputs", nargs="+", type=user_path, metavar="INPUT", help="picture, video, or folder of them")
    parser.add_argument(
        "--checkpoint", type=user_path, required=True, metavar="CKPT", help="run folder, .ckpt or export"
    )
    parser.add_argument("--out", type=user_path, required=True, metavar="OUT", help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="restore anew what is in OUT already")
    parser.add_argument("--compare", action="store_true", help="also write blurry | restored, NAME.compare.SUFFIX")
    parser.add_argument("--frames", action="store_true", help="the pictures of a folder are consecutive frames")
    parser.add_argument("--memory", metavar="SIZE", help="take no more than this, such as 2GB; else what is free")
    parser.add_argument("--device", choices=get_args(Device), default="auto")
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32")
    add_trust(parser)
    options = parser.parse_args(arguments)
    trust(options.trust)
    jobs = find_jobs(options.inputs, options.out, options.frames, options.compare)
    memory = parse_bytes(options.memory) if options.memory else None
    restorer = Restorer(load_any(options.checkpoint), options.device, options.precision, memory)
    todo = [job for job in jobs if options.overwrite or not job.target.exists()]
    if skipped := len(jobs) - len(todo):
        print(f"{skipped} of {len(jobs)} are in {options.out} already (--overwrite restores them anew)")
    for note in _notes(todo, restorer.frames, options.frames):
        print(note)
    if todo and options.frames and restorer.frames > 1:
        for note in _gap_notes(options.inputs, options.out):
            print(note)
    failed = restore_all(todo, restorer, options.compare)
    if failed:
        raise DeblurzooError(f"{failed} of {len(jobs)} could not be restored, as said above; the others are done")


def find_jobs(inputs: Sequence[Path], out: Path, frames: bool = False, compare: bool = False) -> list[Job]:
    """Return what is to be restored: files into `out`, folders as the same tree below it.

    Raises:
        DeblurzooError: an input is missing, a folder has nothing to restore or two files of one frame, two results
            would be one file, or one would replace an input.
    """
    jobs: list[Job] = []
    for given in inputs:
        if given.is_dir():
            found = [path for path in _below(given, out) if is_picture(path) or path.suffix.lower() in video.SUFFIXES]
            if not found:
                raise DeblurzooError(f"{given} has no pictures or videos: give another folder")
            beside = _neighbours(found) if frames else {}
            for path in found:
                jobs.append(Job(path, _target(path, out / path.relative_to(given)), beside.get(path, (None, None))))
        else:
            jobs.append(Job(given, _target(given, out / given.name)))
    given_files = {job.source.resolve() for job in jobs}
    taken: dict[Path, Path] = {}
    for job in jobs:
        for result in (job.target, *([job.compare] if compare else [])):
            if result.resolve() in given_files:
                raise DeblurzooError(f"--out {out} would replace the input {result}: choose another folder")
            if result in taken:
                raise DeblurzooError(f"{job.source} and {taken[result]} would both become {result}: restore apart")
            taken[result] = job.source
    return jobs


def _below(folder: Path, out: Path) -> list[Path]:
    """Return the files below a folder, without those of `out`, which may lie there."""
    results = out.resolve()
    files = [path for path in below(folder) if path.is_file()]
    if results == folder.resolve():  # which `find_jobs` refuses
        return files
    return [path for path in files if not path.resolve().is_relative_to(results)]


def _target(source: Path, target: Path) -> Path:
    return target if source.suffix.lower() in SUFFIXES else video.target_of(target)


def _clips(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """Return the pictures of each folder, which are its frames in natural order."""
    clips: dict[Path, list[Path]] = {}
    for path in files:
        if is_picture(path):
            clips.setdefault(path.parent, []).append(path)
    return {folder: list(require_frames(clip).values()) for folder, clip in clips.items()}


def _neighbours(files: Iterable[Path]) -> dict[Path, tuple[Path | None, Path | None]]:
    """Return the next and the previous frame of each picture: of the same folder, with no gap between."""
    found: dict[Path, tuple[Path | None, Path | None]] = {}
    for clip in _clips(files).values():
        for run in runs(len(clip), gaps([frame.stem for frame in clip])):
            for index in run:
                following, previous = (clip[i] if i in run else None for i in (index + 1, index - 1))
                found[clip[index]] = following, previous
    return found


def _is_video(job: Job) -> bool:
    return job.source.suffix.lower() not in SUFFIXES


def _notes(jobs: list[Job], reads: int, frames: bool) -> list[str]:
    """Return what should be known about neighbouring frames."""
    if reads == 1:
        return []
    notes = []
    if any(_is_video(job) for job in jobs) or frames:
        notes.append(f"the network reads {reads} consecutive frames: the last of each video stands in for its next one")
    if not frames and not all(_is_video(job) for job in jobs):
        notes.append(
            f"the network reads {reads} consecutive frames: each picture stands in for its neighbours "
            "(--frames: the pictures of a folder are consecutive)"
        )
    return notes


def _gap_notes(inputs: Iterable[Path], out: Path) -> list[str]:
    """Return a sentence for every folder whose frames do not all follow each other."""
    clips = [clip for given in inputs if given.is_dir() for clip in _clips(_below(given, out)).items()]
    found = [(folder, gaps([frame.stem for frame in clip])) for folder, clip in clips]
    return [f"{folder} lacks {described(missing)}: no neighbours across a gap" for folder, missing in found if missing]


def restore_all(jobs: Sequence[Job], restorer: Restorer, compare: bool) -> int:
    """Restore every file, with a line for each, and return how many failed."""
    failed = 0
    console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    read = lru_cache(maxsize=restorer.frames)(read_picture)  # frames are neighbours of each other
    columns = (MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn())
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *columns,
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        files = bar.add_task("files", total=len(jobs))
        for job in jobs:
            start = time.monotonic()
            current = bar.add_task(job.source.name, total=None)
            shown = Shown(bar, current)
            beside = job.compare if compare else None
            try:
                if _is_video(job):
                    what = _restore_video(job, restorer, beside, shown)
                else:
                    what = _restore_picture(job, restorer, beside, shown, read)
                seconds = time.monotonic() - start
                console.print(f"{job.target}: {what}, {seconds:.1f} s", highlight=False, markup=False)
            except DeblurzooError as error:
                failed += 1
                errors.print(f"error: {error}", highlight=False, markup=False)
            bar.remove_task(current)
            bar.advance(files)
    return failed


@dataclass(frozen=True)
class Shown:
    """One file's line of the progress bar."""

    bar: Progress
    task: TaskID

    def of(self, total: int) -> Callable[[], None]:
        """Say how many steps there are and return what is called after each."""
        self.bar.update(self.task, total=total or None)
        return lambda: self.bar.advance(self.task)


def _restore_video(job: Job, restorer: Restorer, beside: Path | None, shown: Shown) -> str:
    source = video.inspect(job.source)
    frames = video.restore_video(source, job.target, restorer, shown.of(source.frames), beside)
    return f"{frames} frames of {source.width}x{source.height}"


def _restore_picture(
    job: Job, restorer: Restorer, beside: Path | None, shown: Shown, read: Callable[[Path], Picture]
) -> str:
    picture = read(job.source)
    height, width = picture.pixels.shape[:2]
    following, previous = (_neighbour(path, picture, read) for path in job.neighbours)
    tiles = restorer.grid(height, width, picture.pixels.itemsize).total
    restored = picture.with_rgb(restorer.restore(picture.rgb, following, previous, on_tile=shown.of(tiles)))
    if beside is not None:
        write_picture(beside, picture.beside(restored))
    write_picture(job.target, restored)
    return f"{width}x{height}, {'whole' if tiles == 1 else f'{tiles} tiles'}"


def _neighbour(path: Path | None, picture: Picture, read: Callable[[Path], Picture]) -> Pixels | None:
    """Return the frame of a neighbouring file, or None where there is none that fits: bad files are told elsewhere."""
    if path is None:
        return None
    try:
        other = read(path)
    except DeblurzooError:
        return None
    fits = other.pixels.shape[:2] == picture.pixels.shape[:2] and other.pixels.dtype == picture.pixels.dtype
    return other.rgb if fits else None
