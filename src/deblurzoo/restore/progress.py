"""Restoration of several files, with a progress bar and a printed line per file."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

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

from deblurzoo.errors import DeblurzooError, escaped, on_interrupt, system_errors
from deblurzoo.files import is_folder, require_output, require_readable
from deblurzoo.media import Pixels
from deblurzoo.media.photos import Photo, TooLargeError, read_photo, write_photo
from deblurzoo.restore import video
from deblurzoo.restore.jobs import Job
from deblurzoo.restore.restorer import Restorer


def restore_all(jobs: Sequence[Job], restorer: Restorer, compare: bool, on_result: Callable[[Job], None]) -> int:
    """Restore all files, print a line for each, and return the number of failures; call `on_result` for each result."""
    done = failed = 0
    console, errors = (Console(stderr=stderr, soft_wrap=True, markup=False, emoji=False) for stderr in (False, True))
    read = lru_cache(maxsize=restorer.frames)(read_photo)  # frames are read again as neighbours
    columns = (MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn())
    state = "{} of {} files are restored; the same command without --overwrite restores the others"
    with (
        on_interrupt(lambda: state.format(done, len(jobs))),
        Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *columns,
            console=console,
            disable=not console.is_terminal,
            transient=True,
        ) as bar,
    ):
        files = bar.add_task("files", total=len(jobs))
        for job in jobs:
            start = time.monotonic()
            current = bar.add_task(escaped(job.source.name), total=None)
            shown = Shown(bar, current)
            beside = job.compare if compare else None
            try:
                with system_errors():
                    what = _restore(job, restorer, beside, shown, read)
                    on_result(job)
                seconds = time.monotonic() - start
                done += 1
                console.print(escaped(f"{job.target}: {what}, {seconds:.1f} s"), highlight=False)
            except DeblurzooError as error:
                failed += 1
                place = (
                    "" if any(escaped(path) in str(error) for path in (job.source, job.target)) else f"{job.source}: "
                )
                errors.print(f"error: {escaped(place)}{error}", highlight=False)
            bar.remove_task(current)
            bar.advance(files)
    return failed


def _restore(job: Job, restorer: Restorer, beside: Path | None, shown: "Shown", read: Callable[[Path], Photo]) -> str:
    """Restore a file; return a description of the result."""
    if is_folder(job.source):  # the next calls raise the system's reason if it cannot be read
        require_readable(job.source)
    elif job.source.is_file():
        job.source.open("rb").close()
    for result in job.results(beside is not None):
        require_output(result, str(result), is_folder=False)
    if job.kind.group == "unsupported":
        raise DeblurzooError(f"{job.source} is {job.kind.name}, which is not supported: convert it to PNG")
    if job.kind.group == "other":
        raise DeblurzooError(f"{job.source} is {job.kind.name}, neither a photo nor a video: omit it")
    if job.is_video:
        return _restore_video(job, restorer, beside, shown)
    return _restore_picture(job, restorer, beside, shown, read)


@dataclass(frozen=True)
class Shown:
    """A file's line in the progress bar."""

    bar: Progress
    task: TaskID

    def of(self, total: int) -> Callable[[], None]:
        """Set the number of steps and return the function to call after each step."""
        self.bar.update(self.task, total=total or None)
        return lambda: self.bar.advance(self.task)


def _restore_video(job: Job, restorer: Restorer, beside: Path | None, shown: Shown) -> str:
    source = video.inspect(job.source)
    problem = ""
    try:
        frames = video.restore_video(source, job.target, restorer, shown.of(source.frames), beside)
    except TooLargeError as error:  # raised before the first frame
        if beside is None:
            raise
        problem = f"; {error}"
        frames = video.restore_video(source, job.target, restorer, shown.of(source.frames))
    return f"{frames} frames of {source.width}x{source.height}{problem}"


def _restore_picture(
    job: Job, restorer: Restorer, beside: Path | None, shown: Shown, read: Callable[[Path], Photo]
) -> str:
    picture = read(job.source)
    height, width = picture.pixels.shape[:2]
    following, previous = (_neighbour(path, picture, read) for path in job.neighbours)
    tiles = restorer.grid(height, width, picture.pixels.itemsize).total
    restored = picture.with_rgb(restorer.restore(picture.rgb, following, previous, on_tile=shown.of(tiles)))
    problem = f"; corrupt metadata is dropped: {picture.lost}" if picture.lost else ""
    if beside is not None:
        try:
            write_photo(beside, picture.beside(restored))
        except TooLargeError as error:
            problem += f"; {error}"
    write_photo(job.target, restored)
    return f"{width}x{height}, {'1 tile' if tiles == 1 else f'{tiles} tiles'}{problem}"


def _neighbour(path: Path | None, picture: Photo, read: Callable[[Path], Photo]) -> Pixels | None:
    """Return a neighbouring frame; None if it differs in size or dtype, or is unreadable (its own job reports this)."""
    if path is None:
        return None
    try:
        with system_errors():
            other = read(path)
    except DeblurzooError:
        return None
    fits = other.pixels.shape[:2] == picture.pixels.shape[:2] and other.pixels.dtype == picture.pixels.dtype
    return other.rgb if fits else None
